"""Who hears of a swarm: the DHT where it is wanted, and nobody beyond the network otherwise."""

from __future__ import annotations

import ipaddress
import json
import sys
import time
from pathlib import Path

import pytest
from harness import dht_node, sniffer
from harness.clients import BINARY, PORT, wait_for_word
from harness.content import KIB, assert_same, awkward_tree
from harness.lab import Lab
from harness.network import Host
from harness.process import Process, wait_until

# Local discovery announces at once, a DHT would be asked at once, and 3 s later by who is alone.
WATCHED_SECONDS = 6.0


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


def test_machines_find_each_other_through_the_dht(lab: Lab) -> None:
    """They know nothing but one node of a DHT that nobody else is part of."""
    tree, manifest = content(lab)
    node = lab.network.host()
    argv = [sys.executable, dht_node.__file__, node.address, 6881]
    dht = lab.processes.start(argv, "dht-node", namespace=node.namespace)
    wait_for_word(dht, "listening", 10)
    only = ["--dht-bootstrap", f"{node.address}:6881", "--no-lpd"]
    seed = lab.network.host()
    swarm(lab, seed, "seed", manifest, "--data", tree, "--no-serve", *only)
    announced = f"announce {seed.address}:{PORT}"
    wait_until("the seed is announced", lambda: announced in dht.stdout(), 30)
    hosts = [lab.network.host() for _ in range(3)]
    fetching = []
    for host in hosts:
        folder = lab.work / host.address
        folder.mkdir()
        fetching.append(swarm(lab, host, "fetch", manifest, "-d", folder, *only))
    for host, process in zip(hosts, fetching):
        process.succeed(60)
        assert_same(tree, lab.work / host.address / "content", modes=True)
        assert "dht" in {event["via"] for event in process.events("peer")}


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
    # TEST-NET-1 (RFC 5737), which no program takes for its own network.
    public = ["--dht-bootstrap", "198.51.100.7:6881"]
    swarm(lab, host, "seed", tree, "--scope", "internet", *public)
    wait_until("it asks", lambda: "198.51.100.7" in packets.stdout(), 30)
