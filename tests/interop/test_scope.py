"""Who hears of a swarm: the DHT where it is wanted, and nobody beyond the network otherwise."""

from __future__ import annotations

import ipaddress
import json
import shutil
import sys
import time
from pathlib import Path

import pytest
from harness import dht_node, sniffer
from harness.clients import BINARY, PORT, wait_for_word
from harness.content import KIB, assert_same, awkward_tree
from harness.lab import TRACKER, Lab
from harness.network import Host
from harness.process import Process, wait_until

# Local discovery announces at once, a DHT would be asked at once, and 3 s later by who is alone.
WATCHED_SECONDS = 6.0
# How soon a machine is connected after it started, in seconds.
MEET_WITHIN = 2.0
# TEST-NET-2 (RFC 5737), which no program takes for its own network.
FAR = "198.51.100.7"
PUBLIC = ["--dht-bootstrap", f"{FAR}:6881"]


def swarm(lab: Lab, host: Host, *words: object) -> Process:
    """Our program on a host, with its events."""
    argv = [BINARY, *words, "-p", PORT, "--json", "--state-dir", lab.work / host.address / "state"]
    options = {"namespace": host.namespace, "cwd": lab.work}
    return lab.processes.start(argv, f"swarm-{words[0]}", **options)


def content(lab: Lab) -> tuple[Path, Path]:
    """Something to share, and a manifest of it that names nobody."""
    tree, manifest = lab.work / "content", lab.work / "bare.torrent"
    awkward_tree(tree, 32 * KIB)
    argv = [BINARY, "create", tree, "-o", manifest, "-q"]
    lab.processes.start(argv, "create").succeed(60)
    return tree, manifest


def dht_of_our_own(lab: Lab, *knows: str) -> tuple[Process, Host]:
    """A node that nobody else knows, and where it is; it knows the nodes at these addresses."""
    node = lab.network.host()
    argv = [sys.executable, dht_node.__file__, node.address, 6881, *knows]
    dht = lab.processes.start(argv, "dht-node", namespace=node.namespace)
    wait_for_word(dht, "listening", 10)
    return dht, node


def only(node: Host) -> list[object]:
    """The words that make a program know this node and nothing else."""
    return ["--dht-bootstrap", f"{node.address}:6881", "--no-lpd"]


def name_node(manifest: Path, node: Host) -> None:
    """Makes a manifest name a node of the DHT (BEP 5)."""
    root, _ = dht_node.decode(manifest.read_bytes())
    root[b"nodes"] = [[node.address.encode(), 6881]]
    manifest.write_bytes(dht_node.encode(root))


def assert_all_fetch(lab: Lab, what: object, words: list[object]) -> None:
    """Five machines fetch the content, and meet through the DHT."""
    hosts = [lab.network.host() for _ in range(5)]
    fetching = []
    for host in hosts:
        folder = lab.work / host.address
        folder.mkdir()
        fetching.append(swarm(lab, host, "fetch", what, "-d", folder, *words))
    for host, process in zip(hosts, fetching):
        process.succeed(60)
        assert_same(lab.work / "content", lab.work / host.address / "content", modes=True)
        peers = process.events("peer")
        assert "dht" in {event["via"] for event in peers}
        met = next(event["t"] for event in peers if event["state"] == "connected")
        print(f"met after {met:.2f} s")
        assert met <= MEET_WITHIN


@pytest.mark.parametrize("by", ["manifest", "link"])
def test_machines_find_each_other_through_the_dht(lab: Lab, by: str) -> None:
    """They know nothing but one node of a DHT that nobody else is part of."""
    tree, manifest = content(lab)
    dht, node = dht_of_our_own(lab)
    seed = lab.network.host()
    seeding = swarm(lab, seed, "seed", manifest, "--data", tree, "--no-serve", *only(node))
    announced = f"announce {seed.address}:{PORT}"
    wait_until("the seed is announced", lambda: announced in dht.stdout(), 30)
    what = manifest if by == "manifest" else seeding.events("start")[0]["infohash"]
    assert_all_fetch(lab, what, only(node))


@pytest.mark.parametrize("scope", ["auto", "internet"])
def test_machines_find_each_other_through_the_node_that_their_manifest_names(
    lab: Lab, scope: str
) -> None:
    """It is on this network, and named by nobody else."""
    tree, manifest = content(lab)
    dht, node = dht_of_our_own(lab)
    name_node(manifest, node)
    words = ["--no-lpd", "--scope", scope]
    seed = lab.network.host()
    swarm(lab, seed, "seed", manifest, "--data", tree, "--no-serve", *words)
    announced = f"announce {seed.address}:{PORT}"
    wait_until("the seed is announced", lambda: announced in dht.stdout(), 30)
    assert_all_fetch(lab, manifest, words)


def test_the_nodes_that_answered_are_asked_first_the_next_time(lab: Lab) -> None:
    """The second run is told of nobody; what the first one left in its state directory is enough."""
    tree, manifest = content(lab)
    dht, node = dht_of_our_own(lab)
    name_node(manifest, node)
    first, second = lab.network.host(), lab.network.host()
    words = ["--no-lpd", "--scope", "internet"]
    swarm(lab, first, "seed", manifest, "--data", tree, *words)
    left, found = (lab.work / host.address / "state" / "dht-nodes" for host in [first, second])
    wait_until("the node is remembered", left.exists, 30)
    assert left.read_text() == f"{node.address}:6881"
    found.parent.mkdir(parents=True)
    shutil.copy(left, found)
    swarm(lab, second, "fetch", "0123456789abcdef0123456789abcdef01234567", *words)
    wait_until("it asks the same node", lambda: f"asked {second.address}" in dht.stdout(), 30)


def test_a_node_that_knows_the_internet_hears_nothing_of_a_local_swarm(lab: Lab) -> None:
    """It would be asked, and told, together with the nodes that it knows."""
    tree, manifest = content(lab)
    dht, node = dht_of_our_own(lab, FAR)
    name_node(manifest, node)
    seed = lab.network.host()
    seeding = swarm(lab, seed, "seed", manifest, "--data", tree, "--no-serve", "--no-lpd")
    wait_until("it is met", lambda: f"met {seed.address}" in dht.stdout(), 30)
    wait_until("it is left", lambda: "know others beyond" in seeding.stderr(), 30)
    assert "asked" not in dht.stdout() and "announce" not in dht.stdout()


def watched(lab: Lab, host: Host) -> Process:
    """Watches what a host sends, from now on."""
    argv = [sys.executable, sniffer.__file__, "eth0"]
    process = lab.processes.start(argv, "sniffer", namespace=host.namespace)
    wait_for_word(process, "watching", 10)
    return process


def is_local(address: str) -> bool:
    """Whether a packet to this address stays on this network."""
    ip = ipaddress.ip_address(address)
    # 239.192.0.0/14 is the organisation's own (RFC 2365); BEP 14 uses it.
    return ip.is_private or ip.is_link_local or ip.is_multicast


@pytest.mark.parametrize("scope", ["auto", "lan"])
def test_a_seed_of_a_path_sends_nothing_beyond_the_network(lab: Lab, scope: str) -> None:
    """Every packet that leaves its host is for an address of the network, while it serves others."""
    tree = lab.work / "content"
    awkward_tree(tree, 32 * KIB)
    host, other = lab.network.host(), lab.network.host()
    packets = watched(lab, host)
    seed = swarm(lab, host, "seed", tree, "--scope", scope)
    wait_for_word(seed, '"event":"start"', 60)
    began = time.monotonic()
    folder = lab.work / other.address
    folder.mkdir()
    fetch = swarm(lab, other, "fetch", f"http://{host.address}:{PORT}/", "-d", folder)
    fetch.succeed(60)
    assert_same(tree, folder / "content", modes=True)
    wait_until("enough was watched", lambda: time.monotonic() - began > WATCHED_SECONDS, 30)
    lines = packets.stdout().splitlines()[1:]
    sent = [json.loads(line) for line in lines]
    assert len(sent) > 20
    beyond = {packet["to"] for packet in sent if packet["to"] and not is_local(packet["to"])}
    assert beyond == set()


def test_whoever_is_told_to_go_further_does(lab: Lab) -> None:
    """The watch above sees what it has to see: the scope `internet` asks beyond the network."""
    tree = lab.work / "content"
    awkward_tree(tree, 32 * KIB)
    host = lab.network.host()
    packets = watched(lab, host)
    swarm(lab, host, "seed", tree, "--scope", "internet", *PUBLIC)
    wait_until("it asks", lambda: FAR in packets.stdout(), 30)


def test_who_has_only_a_link_asks_the_dht_but_is_not_named_in_it(lab: Lab) -> None:
    """A link does not say whether its swarm is private (BEP 27): the manifest must come first."""
    dht, node = dht_of_our_own(lab)
    host = lab.network.host()
    swarm(lab, host, "fetch", "0123456789abcdef0123456789abcdef01234567", *only(node))
    asked = f"asked {host.address}"
    wait_until("it asked twice", lambda: dht.stdout().count(asked) >= 2, 30)
    assert "announce" not in dht.stdout()


@pytest.mark.parametrize("words", [[], ["--scope", "internet", *PUBLIC]])
def test_a_private_manifest_tells_nobody_but_whom_it_names(lab: Lab, words: list[str]) -> None:
    """Its tracker and its web seed are asked (BEP 27); no multicast, no DHT, no gateway is."""
    tree = lab.work / "content"
    awkward_tree(tree, 32 * KIB)
    mirror, host = lab.network.host(), lab.network.host()
    wait_for_word(swarm(lab, mirror, "seed", tree, "--no-lpd"), '"event":"start"', 60)
    manifest = lab.work / "private.torrent"
    argv = [BINARY, "create", tree, "-o", manifest, "-q", "--private", "-t", TRACKER]
    argv += ["-w", f"http://{mirror.address}:{PORT}/data/"]
    lab.processes.start(argv, "create").succeed(60)
    packets = watched(lab, host)
    folder = lab.work / host.address
    folder.mkdir()
    began = time.monotonic()
    fetch = swarm(lab, host, "fetch", manifest, "-d", folder, "--seed", *words)
    wait_for_word(fetch, '"event":"complete"', 60)
    assert_same(tree, folder / "content", modes=True)
    assert {event["via"] for event in fetch.events("peer") if event["via"]} == {"web-seed"}
    wait_until("enough was watched", lambda: time.monotonic() - began > WATCHED_SECONDS, 30)
    sent = [json.loads(line) for line in packets.stdout().splitlines()[1:]]
    told = {packet["to"] for packet in sent if packet["to"]}
    # What the system itself says on its wire when an interface comes up (RFC 4861).
    told = {address for address in told if not address.startswith("ff02::")}
    assert told == {TRACKER.split("/")[2].split(":")[0], mirror.address}
