"""A home router: it hides its network behind one address and lets in whom it is asked to.

The router is miniupnpd, which speaks UPnP, NAT-PMP and PCP, over rules of nftables.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.clients import wait_for_word
from harness.network import OUTER, PREFIX, Host, Network, run
from harness.process import Processes

# What the router says its address is: miniupnpd takes none that is reserved for documentation. No
# packet is ever sent to it.
SAID = "1.2.3.4"
# A mapping is granted for so many seconds, so that it is renewed while a test watches.
LEASE = 4

RULES = """
table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "eth0" accept
    jump miniupnpd
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump prerouting_miniupnpd
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    jump postrouting_miniupnpd
    oifname "wan" masquerade
  }
}
"""

CONFIGURATION = """
ext_ifname={outer}
ext_ip={said}
listening_ip=eth0
http_port=0
enable_natpmp={datagrams}
enable_upnp={devices}
min_lifetime=2
max_lifetime={lease}
secure_mode=yes
uuid=00000000-0000-4000-8000-000000000000
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 {subnet}.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


def missing() -> str | None:
    """Why there can be no such router here, or None if there can."""
    name = f"{PREFIX}-{os.getpid()}-rules"
    try:
        run("ip", "netns", "add", name)
        load(name)
    except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
        return f"nftables cannot translate addresses here: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30)
    return None


def load(namespace: str) -> None:
    """Sets the rules that the router adds to."""
    argv = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
    subprocess.run(argv, input=RULES, text=True, check=True, capture_output=True, timeout=30)


class Gateway:
    """A router that speaks `pcp`, `upnp` or `nothing`, and one host outside."""

    def __init__(self, network: Network, processes: Processes, work: Path, speaks: str) -> None:
        self.network = network
        self.router = network.host()
        self.outside = network.beyond(self.router)
        load(self.router.namespace)
        if speaks == "nothing":
            return
        text = CONFIGURATION.format(
            outer=OUTER,
            said=SAID,
            lease=LEASE,
            subnet=network.subnet,
            datagrams="yes" if speaks == "pcp" else "no",
            devices="yes" if speaks == "upnp" else "no",
        )
        configuration, pid = work / "miniupnpd.conf", work / "miniupnpd.pid"
        configuration.write_text(text)
        argv = ["miniupnpd", "-d", "-f", configuration, "-P", pid]
        daemon = processes.start(argv, "miniupnpd", namespace=self.router.namespace)
        wait_for_word(daemon, "version", 10)

    @property
    def address(self) -> str:
        """Where the host outside reaches the router."""
        return f"{self.outside.address.rsplit('.', 1)[0]}.1"

    def host(self) -> Host:
        """A host behind the router."""
        host = self.network.host()
        self.network.route_through(host, self.router)
        return host

    def leads_to(self) -> list[str]:
        """The addresses inside that somebody outside is led to."""
        argv = ["ip", "netns", "exec", self.router.namespace, "nft", "list", "ruleset"]
        rules = subprocess.run(argv, text=True, check=True, capture_output=True, timeout=30)
        return [line.split()[-1] for line in rules.stdout.splitlines() if "dnat" in line]
