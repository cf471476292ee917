"""Behind a router that hides its network, a seed that may tell everybody is reached from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import gateway
from harness.clients import BINARY, PORT, wait_for_word
from harness.content import KIB, assert_same, awkward_tree
from harness.gateway import Gateway
from harness.need import need, need_binary, need_program
from harness.network import Host, Network, available
from harness.process import Process, Processes, wait_until

# How long saying goodbye may take: 2 s for a gateway, and what ending takes on a busy machine.
GOODBYE_SECONDS = 4.0
# At half a lease each: so many take longer than one.
RENEWALS = 3
INTERNET = ["--scope", "internet", "--no-dht"]

Start = Callable[[str], Gateway]


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[Start, Processes]]:
    """Starts a router."""
    need(available())
    need_binary()
    need_program("miniupnpd")
    need_program("nft")
    need(gateway.missing())
    with Network() as network, Processes(tmp_path / "log") as processes:
        awkward_tree(tmp_path / "content", 32 * KIB)
        argv = [BINARY, "create", tmp_path / "content", "-o", tmp_path / "content.torrent", "-q"]
        processes.start(argv, "create").succeed(60)
        yield lambda speaks: Gateway(network, processes, tmp_path, speaks), processes


def seed(processes: Processes, host: Host, work: Path, *words: object) -> Process:
    """Seeds on a host behind the router."""
    argv = [BINARY, "seed", work / "content.torrent", "--data", work, "-p", PORT, "--json", *words]
    options = {"namespace": host.namespace, "env": {"SWARM_LOG": "swarm=debug"}}
    process = processes.start(argv, "seed", **options)
    wait_for_word(process, '"event":"start"', 60)
    return process


def mapping(process: Process) -> dict[str, object]:
    """What came of asking the gateway."""
    wait_for_word(process, '"event":"port-mapping"', 30)
    return process.events("port-mapping")[0]


def stop(process: Process) -> float:
    """Ends a program as Ctrl-C does; how long that took."""
    began = time.monotonic()
    assert process.stop() == 0
    return time.monotonic() - began


@pytest.mark.parametrize("speaks", ["pcp", "upnp"])
def test_a_seed_is_reached_through_the_gateway_until_it_ends(
    behind: tuple[Start, Processes], tmp_path: Path, speaks: str
) -> None:
    """The mapping is there while it seeds, leads to it, and is gone afterwards."""
    start, processes = behind
    router = start(speaks)
    host = router.host()
    seeding = seed(processes, host, tmp_path, *INTERNET)
    mapped = mapping(seeding)
    assert (mapped["state"], mapped["via"]) == ("mapped", speaks), mapped
    assert (mapped["external_ip"], mapped["external_port"]) == (gateway.SAID, PORT)
    assert router.leads_to() == [f"{host.address}:{PORT}"]
    folder = tmp_path / "outside"
    folder.mkdir()
    argv = [BINARY, "fetch", tmp_path / "content.torrent", "-d", folder, "--no-lpd", "--no-seed"]
    fetch = [*argv, "--peer", f"{router.address}:{PORT}", "--json"]
    processes.start(fetch, "fetch", namespace=router.outside.namespace).succeed(60)
    assert_same(tmp_path / "content", folder / "content", modes=True)
    assert stop(seeding) <= GOODBYE_SECONDS
    wait_until("the mapping is gone", lambda: router.leads_to() == [], 2)


def test_a_mapping_is_renewed_before_it_ends(
    behind: tuple[Start, Processes], tmp_path: Path
) -> None:
    """Longer than it was granted for, it leads to the seed."""
    start, processes = behind
    router = start("pcp")
    host = router.host()
    seeding = seed(processes, host, tmp_path, *INTERNET)
    assert mapping(seeding)["seconds"] == gateway.LEASE
    wait_until("it is renewed", lambda: seeding.stderr().count("is mapped:") > RENEWALS, 60)
    assert router.leads_to() == [f"{host.address}:{PORT}"]
    assert len(seeding.events("port-mapping")) == 1, "nothing new is no news"


def test_trackers_hear_of_the_port_that_the_gateway_gave(
    behind: tuple[Start, Processes], tmp_path: Path
) -> None:
    """Two seeds of one port behind one address: the second is reached at another port."""
    start, processes = behind
    router = start("pcp")
    first = seed(processes, router.host(), tmp_path, *INTERNET)
    assert mapping(first)["external_port"] == PORT
    argv = [BINARY, "tracker", "--listen", ":6969", "--json"]
    tracker = processes.start(argv, "tracker", namespace=router.outside.namespace)
    wait_for_word(tracker, '"event":"tracker"', 20)
    url = f"http://{router.outside.address}:6969/announce"
    host = router.host()
    second = seed(processes, host, tmp_path, *INTERNET, "-t", url)
    port = mapping(second)["external_port"]
    assert port != PORT
    assert f"{host.address}:{PORT}" in router.leads_to()
    # Who asks the tracker outside is led to the second seed, through the router.
    folder = tmp_path / "outside"
    folder.mkdir()
    argv = [BINARY, "fetch", tmp_path / "content.torrent", "-d", folder, "--no-lpd", "--no-seed"]
    options = {"namespace": router.outside.namespace}
    fetch = processes.start([*argv, "-t", url, "--json"], "fetch", **options)
    fetch.succeed(60)
    assert_same(tmp_path / "content", folder / "content", modes=True)
    met = {event["addr"] for event in fetch.events("peer") if event["state"] == "connected"}
    assert f"{router.address}:{port}" in met, met


@pytest.mark.parametrize("words", [[], ["--scope", "lan"], [*INTERNET, "--no-portmap"]])
def test_the_gateway_is_left_alone_where_nobody_outside_is_told(
    behind: tuple[Start, Processes], tmp_path: Path, words: list[str]
) -> None:
    """By default, on the local network, and where the user says so: it hears nothing."""
    start, processes = behind
    router = start("pcp")
    seeding = seed(processes, router.host(), tmp_path, *words)
    # Long after a gateway would have been asked: at the start.
    wait_for_word(seeding, '"event":"progress"', 30)
    other = seed(processes, router.host(), tmp_path, *INTERNET)
    mapping(other)
    assert seeding.events("port-mapping") == []
    assert len(router.leads_to()) == 1


def test_a_gateway_that_grants_nothing_is_said_and_costs_nothing(
    behind: tuple[Start, Processes], tmp_path: Path
) -> None:
    """Others on the network are served all the while."""
    start, processes = behind
    router = start("nothing")
    seeding = seed(processes, router.host(), tmp_path, *INTERNET)
    other = router.host()
    folder = tmp_path / "other"
    folder.mkdir()
    argv = [BINARY, "fetch", tmp_path / "content.torrent", "-d", folder, "--json", "--no-seed"]
    processes.start(argv, "fetch", namespace=other.namespace).succeed(60)
    assert not seeding.events("port-mapping"), "it is not given up yet"
    refused = mapping(seeding)
    want = "PCP: not spoken; NAT-PMP: not spoken; UPnP: no gateway answers"
    assert (refused["state"], refused["reason"]) == ("failed", want)
    assert "the gateway lets nobody in" in seeding.events("warning")[0]["message"]
    assert stop(seeding) <= GOODBYE_SECONDS
