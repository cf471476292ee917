"""A seed is enough: others need nothing but its URL, no tracker and no manifest."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

from harness.clients import BINARY, PORT, Aria2, Client, Job, Libtorrent, Transmission, wait_for_word
from harness.content import KIB, assert_same, awkward_tree
from harness.lab import Lab
from harness.process import Process

# How soon a machine is connected after it announced, in seconds.
MEET_WITHIN = 2.0
# After its start Transmission takes 1.3 s until it announces, libtorrent 0.5 s.
ANNOUNCED_WITHIN = 1.5
DOWNLOAD = "import sys, urllib.request as u; u.urlretrieve(sys.argv[1], sys.argv[2])"


def seed(lab: Lab, content: Path) -> tuple[str, Process]:
    """`swarm seed PATH`; returns its URL."""
    host = lab.network.host()
    argv = [BINARY, "seed", content, "-p", PORT, "--json"]
    options = {"namespace": host.namespace, "cwd": lab.work}
    process = lab.processes.start(argv, "swarm-seed", **options)
    wait_for_word(process, '"event":"start"', 60)
    return f"http://{host.address}:{PORT}/", process


def first_met(process: Process, address: str) -> float:
    """When a program was first connected with a machine, in seconds since 1970."""
    peers = process.events("peer")
    met = next(e for e in peers if e["state"] == "connected" and e["addr"].startswith(f"{address}:"))
    return datetime.fromisoformat(met["ts"]).timestamp()


def test_every_client_fetches_from_the_url_of_a_seed(lab: Lab) -> None:
    """Each gets the manifest by HTTP and finds the others by the tracker that it names."""
    content = lab.work / "content"
    awkward_tree(content, 32 * KIB)
    url, seeding = seed(lab, content)
    started: dict[str, float] = {}
    clients: list[Client] = [Aria2(), Transmission(), Libtorrent()]
    fetching = []
    for client in clients:
        host = lab.network.host()
        folder = lab.work / host.address
        folder.mkdir()
        manifest = folder.with_suffix(".torrent")
        get = [sys.executable, "-c", DOWNLOAD, f"{url}content.torrent", manifest]
        lab.processes.start(get, "get", namespace=host.namespace).succeed(20)
        job = Job(host, manifest, folder)
        started[host.address] = time.time()
        fetching.append((client, job, client.fetch(job, lab.processes)))
    for client, job, process in fetching:
        client.await_complete(process, 90)
        assert_same(content, job.folder / "content", empty=client.makes_empty_files)
    for address, start in started.items():
        met = first_met(seeding, address) - start
        print(f"met after {met:.2f} s")
        assert met <= ANNOUNCED_WITHIN + MEET_WITHIN


def test_aria2_and_swarm_need_only_the_url(lab: Lab) -> None:
    """As the seed's screen tells to type it."""
    content = lab.work / "content"
    awkward_tree(content, 32 * KIB)
    url, _ = seed(lab, content)
    hosts = [lab.network.host(), lab.network.host()]
    folders = [lab.work / host.address for host in hosts]
    for folder in folders:
        folder.mkdir()
    aria2 = ["aria2c", *Aria2.options, "--seed-time=0", f"--dir={folders[0]}"]
    ours = [BINARY, "fetch", url, "-d", folders[1], "--json"]
    argvs = [[*aria2, f"{url}content.torrent"], ours]
    for host, argv in zip(hosts, argvs):
        lab.processes.start(argv, "fetch", namespace=host.namespace)
    for process in lab.processes.all[-2:]:
        process.succeed(90)
    assert_same(content, folders[0] / "content")
    assert_same(content, folders[1] / "content", modes=True)


def test_files_can_be_fetched_by_a_web_seed_client(lab: Lab) -> None:
    """aria2 has no peer but takes the files from the URL that a manifest names (BEP 19)."""
    content = lab.work / "content"
    awkward_tree(content, 32 * KIB)
    url, seeding = seed(lab, content)
    bare = lab.work / "bare.torrent"
    argv = [BINARY, "create", content, "-o", bare, "-w", f"{url}data/", "-q"]
    lab.processes.start(argv, "create").succeed(60)
    host = lab.network.host()
    folder = lab.work / host.address
    folder.mkdir()
    job = Job(host, bare, folder)
    client = Aria2()
    client.await_complete(client.fetch(job, lab.processes), 90)
    assert_same(content, folder / "content")
    connected = [event for event in seeding.events("peer") if event["state"] == "connected"]
    assert connected == []
