"""Machines on a network without a tracker, without a route out, without an address typed in.

They find each other by multicast (BEP 14), get the manifest from each other (BEP 9) and tell each
other of the rest (BEP 11).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import sniffer
from harness.clients import BINARY, PORT, Client, Job, Libtorrent, Transmission, wait_for_word
from harness.content import MIB, assert_same, fill
from harness.need import need, need_binary, need_program
from harness.network import Host, Network, available
from harness.process import Process, Processes, wait_until

# A machine that comes has met somebody within this many seconds.
MEET_WITHIN = 2.0
FETCHERS = 5
OTHER_SUBNET = "10.78.0"
# BEP 14.
LSD_GROUP = "239.192.152.143"


@dataclass
class Island:
    """A network that leads nowhere, and content on one of its machines."""

    network: Network
    processes: Processes
    work: Path
    content: Path
    manifest: Path

    def start(self, host: Host, name: str, *words: object) -> Process:
        """Starts this project's program on a machine, with events on its standard output."""
        argv = [BINARY, *words, "-p", str(PORT), "--json"]
        return self.processes.start(argv, name, namespace=host.namespace)

    def seed(self, host: Host, *words: object) -> Process:
        """Serves the original."""
        data = self.content.parent
        seed = self.start(host, "seed", "seed", self.manifest, "--data", data, *words)
        wait_for_word(seed, '"event":"start"', 60)
        return seed

    def fetch(self, host: Host, what: object, *words: object) -> Process:
        """Fetches into a folder of the machine's own."""
        folder = self.folder(host)
        folder.mkdir(exist_ok=True)
        return self.start(host, "fetch", "fetch", what, "-d", folder, *words)

    def folder(self, host: Host) -> Path:
        """Where a machine fetches to."""
        return self.work / host.address

    def assert_fetched(self, host: Host) -> None:
        """Fails unless the machine has the same bytes."""
        assert_same(self.content, self.folder(host) / self.content.name)

    def link(self, seed: Process) -> str:
        """The info-hash alone: neither trackers nor addresses."""
        return f"magnet:?xt=urn:btih:{seed.events('start')[0]['infohash']}"


    def print_seed(self, host: Host) -> str:
        """Serves the original, and gives what its screen says."""
        argv = [BINARY, "seed", self.manifest, "--data", self.content.parent, "-p", str(PORT)]
        seed = self.processes.start(argv, "seed", namespace=host.namespace)
        wait_for_word(seed, "Ctrl-C stops", 60)
        return seed.stdout() + seed.stderr()


@pytest.fixture
def island(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Island]:
    """A network, of the subnet that is asked for, and 24 MiB on nobody's machine yet."""
    need(available())
    need_binary()
    content, manifest = tmp_path / "original" / "content.bin", tmp_path / "content.torrent"
    fill(content, 24 * MIB)
    subnet = getattr(request, "param", "10.77.0")
    with Network(subnet) as network, Processes(tmp_path / "log") as processes:
        island = Island(network, processes, tmp_path, content, manifest)
        maker = [BINARY, "create", content, "-o", manifest, "--quiet"]
        processes.start(maker, "create").succeed(60)
        yield island


def met_after(process: Process) -> float:
    """Seconds from the start of a program to its first connection."""
    wait_for_word(process, '"state":"connected"', 20)
    peers = process.events("peer")
    met = next(event["t"] for event in peers if event["state"] == "connected")
    print(f"met after {met:.2f} s")
    return met


def test_machines_that_know_no_address_meet_at_once(island: Island) -> None:
    """Each has the manifest and nothing else."""
    seed = island.seed(island.network.host())
    hosts = [island.network.host() for _ in range(FETCHERS)]
    fetches = [island.fetch(host, island.manifest) for host in hosts]
    for fetch in fetches:
        assert met_after(fetch) <= MEET_WITHIN
    for host, fetch in zip(hosts, fetches):
        fetch.succeed(60)
        island.assert_fetched(host)
    assert seed.stop() == 0


def test_a_link_without_an_address_is_enough(island: Island) -> None:
    """Each has the info-hash and nothing else; the manifest comes from the network, too."""
    seed = island.seed(island.network.host())
    hosts = [island.network.host() for _ in range(FETCHERS)]
    fetches = [island.fetch(host, island.link(seed)) for host in hosts]
    for fetch in fetches:
        assert met_after(fetch) <= MEET_WITHIN
    for host, fetch in zip(hosts, fetches):
        fetch.succeed(60)
        island.assert_fetched(host)


def test_a_seed_that_comes_last_is_met_at_once(island: Island) -> None:
    """The fetcher has said all that it says at first, and waits."""
    host, other = island.network.host(), island.network.host()
    fetch = island.fetch(host, island.manifest)
    wait_until("the fetch waits", lambda: "LSD sent" in fetch.stdout(), 30)
    assert not fetch.events("complete")
    seed = island.seed(other)
    assert met_after(seed) <= MEET_WITHIN
    fetch.succeed(60)
    island.assert_fetched(host)


def test_a_machine_whose_address_changes_is_announced_from_the_new_one(island: Island) -> None:
    """As after another lease: the same interface, within seconds."""
    host = island.network.host()
    argv = [sys.executable, sniffer.__file__, "eth0"]
    packets = island.processes.start(argv, "sniffer", namespace=host.namespace)
    wait_for_word(packets, "watching", 10)

    def is_announced(address: str) -> bool:
        return f'"from": "{address}", "to": "{LSD_GROUP}"' in packets.stdout()

    island.fetch(host, island.manifest)
    wait_until("it is announced", lambda: is_announced(host.address), 10)
    at = ["ip", "-n", host.namespace, "addr"]
    where = ["dev", "eth0", "noprefixroute"]
    subprocess.run([*at, "del", f"{host.address}/24", "dev", "eth0"], check=True, timeout=10)
    subprocess.run([*at, "add", "10.77.0.99/24", *where], check=True, timeout=10)
    wait_until("it is announced again", lambda: is_announced("10.77.0.99"), 15)


def test_one_address_typed_in_joins_two_subnets(island: Island) -> None:
    """Multicast stays in each subnet; peers tell each other of the rest."""
    island.network.add_subnet(OTHER_SUBNET)
    first = island.network.host()
    # Slow enough that there is time to hear of others.
    slow = ["--upload-limit", "2M"]
    seed = island.seed(first, *slow)
    here = [island.network.host() for _ in range(2)]
    there = [island.network.host(OTHER_SUBNET) for _ in range(3)]
    given = ["--peer", f"{first.address}:{PORT}"]
    fetches = [island.fetch(host, island.manifest, *slow) for host in here]
    fetches.append(island.fetch(there[0], island.manifest, *slow, *given))
    fetches += [island.fetch(host, island.manifest, *slow) for host in there[1:]]
    for fetch in fetches:
        assert met_after(fetch) <= MEET_WITHIN
    for host, fetch in zip([*here, *there], fetches):
        fetch.succeed(60)
        island.assert_fetched(host)
    # Who was given no address and is in the other subnet has met machines of this one.
    for fetch in fetches[-2:]:
        across = [event for event in fetch.events("peer") if event["addr"].startswith("10.77.0.")]
        assert across and across[0]["t"] <= MEET_WITHIN, across
        print(f"met across after {across[0]['t']:.2f} s")
    via = {event["via"] for fetch in fetches for event in fetch.events("peer")}
    assert "pex" in via, via
    assert seed.stop() == 0


def test_the_first_seed_may_die_when_every_piece_is_out(island: Island) -> None:
    """The rest finish, and a newcomer with the old link still gets everything."""
    first = island.network.host()
    seed = island.seed(first, "--upload-limit", "8M")
    link = f"{island.link(seed)}&x.pe={first.address}:{PORT}"
    pieces = seed.events("start")[0]["pieces"]
    hosts = [island.network.host() for _ in range(FETCHERS)]
    words = ["--seed", "--json-pieces", "--upload-limit", "2M"]
    fetches = [island.fetch(host, link, *words) for host in hosts]

    def all_out() -> bool:
        stored = [event["index"] for fetch in fetches for event in fetch.events("piece")]
        return len(set(stored)) == pieces

    wait_until("every piece is out", all_out, 60)
    seed.kill()
    assert not all(fetch.events("complete") for fetch in fetches), "killed too late"
    for host, fetch in zip(hosts, fetches):
        wait_for_word(fetch, '"event":"complete"', 90)
        island.assert_fetched(host)
    newcomer = island.network.host()
    late = island.fetch(newcomer, link, "--no-seed")
    assert met_after(late) <= MEET_WITHIN
    late.succeed(60)
    island.assert_fetched(newcomer)


def assert_printed_leads_to(island: Island, printed: str, address: str, hosts: list[Host]) -> None:
    """Of two machines one fetches by the URL on a seed's screen, the other by the link."""
    url = f"http://{address}:{PORT}/"
    assert f" swarm fetch {url}\n" in printed, printed
    link = next(word for word in printed.split("'") if word.startswith("magnet:"))
    assert f"&x.pe={address}:{PORT}" in link, link
    assert f"&tr={quote(url, safe='')}announce" in link, link
    for host, what in zip(hosts, [url, link], strict=True):
        island.fetch(host, what, "--no-lpd", "--no-seed").succeed(60)
        island.assert_fetched(host)


@pytest.mark.parametrize("island", ["192.168.1", "10.1.2", "169.254.8"], indirect=True)
def test_what_a_seed_prints_leads_to_it_where_no_route_leads_out(island: Island) -> None:
    """A switch and some machines: nobody has a default route."""
    seed, *others = [island.network.host(leads_out=False) for _ in range(3)]
    assert_printed_leads_to(island, island.print_seed(seed), seed.address, others)


def test_what_a_seed_prints_leads_to_it_where_there_is_only_ipv6(island: Island) -> None:
    """Unique local addresses, and no route out."""
    hosts = [island.network.host(leads_out=False) for _ in range(3)]
    for number, host in enumerate(hosts, 1):
        at = ["ip", "-n", host.namespace]
        for change in [
            ["-4", "addr", "flush", "dev", "eth0"],
            ["addr", "add", f"fd77::{number}/64", "dev", "eth0", "nodad"],
        ]:
            subprocess.run([*at, *change], check=True, timeout=10)
    assert_printed_leads_to(island, island.print_seed(hosts[0]), "[fd77::1]", hosts[1:])


def test_machines_with_nothing_but_ipv6_meet(island: Island) -> None:
    """Link-local addresses only, as on a wire without any configuration."""
    hosts = [island.network.host() for _ in range(3)]
    for host in hosts:
        flush = ["ip", "-n", host.namespace, "-4", "addr", "flush", "dev", "eth0"]
        subprocess.run(flush, check=True, timeout=10)
    shown = ["ip", "-n", hosts[-1].namespace, "-6", "addr", "show", "dev", "eth0"]

    def is_ready() -> bool:
        addresses = subprocess.run(shown, capture_output=True, text=True, timeout=10).stdout
        return "fe80" in addresses and "tentative" not in addresses

    wait_until("an address is ours", is_ready, 10)
    seed = island.seed(hosts[0])
    fetches = [
        island.fetch(hosts[1], island.manifest),
        island.fetch(hosts[2], island.link(seed)),
    ]
    for host, fetch in zip(hosts[1:], fetches):
        assert met_after(fetch) <= MEET_WITHIN
        fetch.succeed(60)
        island.assert_fetched(host)


def test_a_manifest_of_a_hundred_thousand_files_comes_from_peers(island: Island) -> None:
    """Some 20 MiB of metadata, from several machines; only listed, not fetched."""
    shutil.rmtree(island.content.parent)
    for number in range(100_000):
        folder = island.content.parent / f"{number // 1000:03}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06}-{'x' * 150}").write_bytes(b"%06d" % number)
    maker = [BINARY, "create", island.content.parent, "-o", island.manifest, "--quiet", "--force"]
    island.processes.start(maker, "create").succeed(120)
    size = island.manifest.stat().st_size
    assert size > 16 * MIB, size
    data = island.content.parent.parent
    for _ in range(2):
        host = island.network.host()
        seed = island.start(host, "seed", "seed", island.manifest, "--data", data)
        wait_for_word(seed, '"event":"start"', 120)
    host = island.network.host()
    started = time.monotonic()
    listed = island.fetch(host, island.link(seed), "--list")
    listed.succeed(120)
    print(f"{size / MIB:.1f} MiB of metadata in {time.monotonic() - started:.1f} s")
    assert len(listed.events("manifest")[0]["files"]) == 100_000


def test_who_does_not_look_around_is_not_found(island: Island) -> None:
    """`--no-lpd` on both sides: nothing is said and nothing is heard."""
    island.seed(island.network.host(), "--no-lpd")
    host = island.network.host()
    fetch = island.fetch(host, island.manifest, "--no-lpd", "--stall-timeout", "3s")
    assert fetch.wait(20) == 6
    assert not fetch.events("peer")


def test_blocked_multicast_is_said(island: Island) -> None:
    """Where nothing of the others comes through, the status says that it may be blocked."""
    host = island.network.host()
    fetch = island.fetch(host, island.manifest)
    wait_until("the status says so", lambda: "no-peers" in fetch.stdout(), 30)
    warning = fetch.events("warning")[0]["message"]
    assert "heard 0 (multicast may be blocked)" in warning, warning


def test_a_private_swarm_is_never_announced(island: Island) -> None:
    """BEP 27: its trackers alone may name peers."""
    maker = [BINARY, "create", island.content, "-o", island.manifest, "--quiet", "--force"]
    tracker = ["--private", "-t", "http://10.77.0.99:6969/announce"]
    island.processes.start([*maker, *tracker], "create").succeed(60)
    seed = island.seed(island.network.host())
    host = island.network.host()
    fetch = island.fetch(host, island.manifest, "--stall-timeout", "3s")
    link = island.fetch(island.network.host(), island.link(seed), "--stall-timeout", "3s")
    assert fetch.wait(20) == 6
    assert link.wait(20) == 6
    assert not fetch.events("peer")


@pytest.mark.parametrize("other", [Libtorrent(lsd=True), Transmission(lsd=True)], ids=lambda o: o.name)
def test_other_clients_are_met_in_both_roles(island: Island, other: Client) -> None:
    """Whichever side comes first, and whichever seeds."""
    need_program("transmission-cli")
    job = Job(island.network.host(), island.manifest, island.content.parent)
    theirs = other.seed(job, island.processes)
    host = island.network.host()
    ours = island.fetch(host, island.manifest, "--seed")
    wait_for_word(ours, '"event":"complete"', 60)
    island.assert_fetched(host)
    theirs.kill()

    job = Job(island.network.host(), island.manifest, island.work / "theirs")
    job.folder.mkdir()
    fetch = other.fetch(job, island.processes)
    other.await_complete(fetch, 60)
    assert_same(island.content, job.folder / island.content.name)
    shutil.rmtree(job.folder)
