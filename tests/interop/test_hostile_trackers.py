"""A tracker of no use costs a fetch little, and is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from harness import hostile_tracker
from harness.clients import BINARY, PORT, wait_for_word
from harness.content import KIB, assert_same, awkward_tree
from harness.lab import TRACKER, Lab
from harness.network import Host
from harness.process import Process, wait_until

# What a useless tracker may cost beside a good one.
COST_SECONDS = 2.0


class Fetched:
    """A fetch of something that one seed has, by these trackers, to its end."""

    def __init__(self, lab: Lab, trackers: list[str]) -> None:
        host = lab.network.host()
        folder = lab.work / host.address
        folder.mkdir()
        process = fetch(lab, host, folder, trackers, "--no-seed", "--json-pieces")
        wait_for_word(process, '"event":"complete"', 60)
        process.succeed(30)
        assert_same(lab.work / "content", folder / "content", modes=True)
        self.first_piece = process.events("piece")[0]["t"]
        self.complete = process.events("complete")[0]["t"]
        self.warned = [event["message"] for event in process.events("warning")]


def fetch(lab: Lab, host: Host, folder: Path, trackers: list[str], *words: object) -> Process:
    """Starts a fetch that knows these trackers and nobody else."""
    options = [word for url in trackers for word in ("-t", url)]
    argv = [BINARY, "fetch", lab.work / "bare.torrent", "-d", folder, "-p", PORT, "--json"]
    argv += ["--no-lpd", *options, *words]
    return lab.processes.start(argv, "fetch", namespace=host.namespace)


def content(lab: Lab) -> None:
    """Something to share, and a manifest of it that names nobody."""
    tree, manifest = lab.work / "content", lab.work / "bare.torrent"
    awkward_tree(tree, 32 * KIB)
    lab.processes.start([BINARY, "create", tree, "-o", manifest, "-q"], "create").succeed(60)


def seed(lab: Lab, *words: object) -> Host:
    """Starts a seed of the content; returns where it is."""
    host = lab.network.host()
    argv = [BINARY, "seed", lab.work / "bare.torrent", "--data", lab.work / "content"]
    argv += ["-p", PORT, "--json", "-t", TRACKER, *words]
    process = lab.processes.start(argv, "seed", namespace=host.namespace)
    wait_for_word(process, '"event":"start"', 60)
    return host


def useless(lab: Lab, mode: str) -> str:
    """Starts a tracker of no use; returns its URL."""
    host = lab.network.host()
    argv = [sys.executable, hostile_tracker.__file__, host.address, 7000]
    running = lab.processes.start(argv, "hostile", namespace=host.namespace)
    wait_for_word(running, "listening", 10)
    return f"http://{host.address}:7000/{mode}/announce"


@pytest.mark.parametrize("mode", ["hang", "html", "redirect", "lie", "dead"])
def test_a_fetch_completes_through_another_tracker(lab: Lab, mode: str) -> None:
    """The useless one comes first; the good one is in the next tier."""
    content(lab)
    url = useless(lab, mode)
    seed(lab)
    usual, other = Fetched(lab, [TRACKER]), Fetched(lab, [url, TRACKER])
    print(f"{mode}: first piece after {other.first_piece:.3f} s, usually {usual.first_piece:.3f} s")
    assert other.first_piece <= usual.first_piece + COST_SECONDS
    assert other.complete <= usual.complete + COST_SECONDS
    if mode in ("html", "redirect", "lie"):
        assert any(url in message for message in other.warned), other.warned


def test_who_is_named_after_ten_thousand_dead_is_dialled_at_once(lab: Lab) -> None:
    """The other tracker answers when as many dials are under way as there may be."""
    content(lab)
    dead = useless(lab, "dead")
    host = seed(lab)
    late = dead.replace("/dead/", f"/late/{host.address}/{PORT}/")
    usual, other = Fetched(lab, [TRACKER]), Fetched(lab, [dead, late])
    print(f"first piece after {other.first_piece:.3f} s, usually {usual.first_piece:.3f} s")
    assert other.first_piece <= usual.first_piece + COST_SECONDS
    assert other.complete <= usual.complete + COST_SECONDS


WORDS = pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("hang", "no answer yet"),
        ("html", "bad answer"),
        ("redirect", "more than 5 redirects"),
        ("lie", "bad answer"),
        ("dead", "named no reachable peer"),
    ],
)


def await_words(process: Process, field: str, url: str, why: str) -> None:
    """Waits until the status says in this field which tracker is of no use, and why."""

    def named() -> bool:
        said = [event[field] or "" for event in process.events("progress")]
        return any(f"tracker {url}: " in line and why in line for line in said)

    wait_until("the status names it", named, 30)


@WORDS
def test_the_status_names_a_tracker_of_no_use(lab: Lab, mode: str, why: str) -> None:
    """Whoever waits for it sees which one it is, and what is wrong with it."""
    content(lab)
    url = useless(lab, mode)
    host = lab.network.host()
    folder = lab.work / host.address
    folder.mkdir()
    await_words(fetch(lab, host, folder, [url]), "waiting", url, why)


@WORDS
def test_the_status_names_it_also_while_content_comes(lab: Lab, mode: str, why: str) -> None:
    """Through another tracker; slow enough that there is something to see."""
    content(lab)
    url = useless(lab, mode)
    seed(lab)
    host = lab.network.host()
    folder = lab.work / host.address
    folder.mkdir()
    process = fetch(lab, host, folder, [url, TRACKER], "--download-limit", "20K")
    await_words(process, "tracker", url, why)
    assert process.events("progress")[-1]["peers"] == 1
