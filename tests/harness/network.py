"""Hosts of our own: network namespaces on one bridge, which itself is in a namespace.

Nothing is added to the machine's own network, so nothing of the tests can leave it and two runs
cannot meet. The namespaces carry the process id in their names; those of a dead run are removed by
the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

PREFIX = "swarmtest"
# What a token bucket may send at once: more than the largest packet that a sender hands to the
# driver, or the kernel would cut every such packet to pieces. 10 ms of 80 Mbit/s.
BURST_BYTES = 96 << 10
# The interface of a router that leads out of its network.
OUTER = "wan"
# How long a packet may wait for tokens before it is dropped.
QUEUE = "50ms"


@dataclass(frozen=True)
class Host:
    """One machine of the network."""

    namespace: str
    address: str
    # The other end of its link: the interface of the hub that receives what the host sends.
    hub_port: str


def run(*argv: str) -> None:
    """Runs a command that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def available() -> str | None:
    """Why namespaces cannot be made here, or None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"{PREFIX}-{os.getpid()}-probe"
    try:
        run("ip", "netns", "add", probe)
        run("ip", "netns", "del", probe)
    except (OSError, RuntimeError) as error:
        return f"network namespaces cannot be made: {error}"
    return None


class Network:
    """A bridge and the hosts on it, removed when the `with` block is left."""

    _numbers = itertools.count()

    def __init__(self, subnet: str = "10.77.0") -> None:
        sweep()
        self.subnet = subnet
        self._name = f"{PREFIX}-{os.getpid()}-{next(self._numbers)}"
        self._namespaces: list[str] = []
        self.hub = self._add("hub")
        self._bridges: dict[str, str] = {}
        self._bridge(subnet)

    def _bridge(self, subnet: str) -> None:
        bridge = f"hub{len(self._bridges) or ''}"
        run("ip", "-n", self.hub, "link", "add", bridge, "type", "bridge")
        run("ip", "-n", self.hub, "link", "set", bridge, "up")
        self._bridges[subnet] = bridge

    def add_subnet(self, subnet: str) -> None:
        """Adds a subnet that is reached through the hub; multicast stays where it is sent."""
        self._bridge(subnet)
        settings = {"ipv4/ip_forward": 1}
        for net, bridge in self._bridges.items():
            at = ["ip", "-n", self.hub, "addr", "replace", f"{net}.254/24", "dev", bridge]
            run(*at)
            # Hosts take everybody to be on their link; the hub answers for who is not, at once: by
            # itself it would let up to 0.8 s pass, in which no first packet goes anywhere.
            settings[f"ipv4/conf/{bridge}/proxy_arp"] = 1
            settings[f"ipv4/neigh/{bridge}/proxy_delay"] = 0
        for setting, value in settings.items():
            write = f"echo {value} > /proc/sys/net/{setting}"
            run("ip", "netns", "exec", self.hub, "sh", "-c", write)

    def _add(self, name: str) -> str:
        namespace = f"{self._name}-{name}"
        run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace

    def host(self, subnet: str | None = None, leads_out: bool = True) -> Host:
        """Adds one host with an address of its own; without a default route unless it `leads_out`."""
        subnet = subnet or self.subnet
        number = len(self._namespaces)
        namespace, port = self._add(f"h{number}"), f"p{number}"
        link = ("ip", "link", "add", "eth0", "netns", namespace, "type", "veth")
        run(*link, "peer", "name", port, "netns", self.hub)
        run("ip", "-n", self.hub, "link", "set", port, "master", self._bridges[subnet], "up")
        address = f"{subnet}.{number}"
        at = ("ip", "-n", namespace)
        run(*at, "addr", "add", f"{address}/24", "dev", "eth0", "noprefixroute")
        run(*at, "link", "set", "eth0", "up")
        # Named on the route, since a namespace may not choose any algorithm it likes.
        for target in [f"{subnet}.0/24"] + ["default"] * leads_out:
            run(*at, "route", "add", target, "dev", "eth0", "congctl", "cubic")
        return Host(namespace, address, port)

    def beyond(self, router: Host, subnet: str = "198.51.100") -> Host:
        """Adds a host that nobody reaches but through `router`, which leads there from all others."""
        namespace = self._add(f"h{len(self._namespaces)}")
        link = ("ip", "link", "add", "eth0", "netns", namespace, "type", "veth")
        run(*link, "peer", "name", OUTER, "netns", router.namespace)
        ends = [(namespace, "eth0", f"{subnet}.7"), (router.namespace, OUTER, f"{subnet}.1")]
        for end, interface, address in ends:
            run("ip", "-n", end, "addr", "add", f"{address}/24", "dev", interface)
            run("ip", "-n", end, "link", "set", interface, "up")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        run("ip", "netns", "exec", router.namespace, "sh", "-c", forward)
        return Host(namespace, ends[0][2], OUTER)

    def route_through(self, host: Host, router: Host) -> None:
        """Makes `router` the gateway of a host."""
        to = ["default", "via", router.address, "dev", "eth0", "congctl", "cubic"]
        run("ip", "-n", host.namespace, "route", "replace", *to)

    def shape(self, host: Host, rate: int) -> None:
        """Limits what a host sends to `rate` bits per second, headers included."""
        bucket = ("tbf", "rate", f"{rate}bit", "burst", str(BURST_BYTES), "latency", QUEUE)
        run("tc", "-n", host.namespace, "qdisc", "add", "dev", "eth0", "root", *bucket)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in self._namespaces:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, timeout=30)


def sweep() -> None:
    """Removes what a killed run left behind: its namespaces and the programs in them."""
    mounted = Path("/run/netns")
    for path in mounted.glob(f"{PREFIX}-*") if mounted.is_dir() else []:
        owner = path.name.split("-")[1]
        if not Path(f"/proc/{owner}").exists():
            found = ["ip", "netns", "pids", path.name]
            for pid in subprocess.run(found, capture_output=True, text=True).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", path.name], capture_output=True, timeout=30)
