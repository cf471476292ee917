"""A tracker of no use costs a fetch little, and is named."""

from __future__ import annotations

import sys
import time

import pytest
from harness import hostile_tracker
from harness.clients import BINARY, PORT, wait_for_word
from harness.content import KIB, assert_same, awkward_tree
from harness.lab import TRACKER, Lab

# What a useless tracker may cost beside a good one.
COST_SECONDS = 2.0


def fetch_seconds(lab: Lab, trackers: list[str]) -> tuple[float, list[str]]:
    """Fetches something that one seed has; how long that took, and what the fetch warned of."""
    host = lab.network.host()
    folder = lab.work / host.address
    folder.mkdir()
    options = [word for url in trackers for word in ("-t", url)]
    argv = [BINARY, "fetch", lab.work / "bare.torrent", "-d", folder, "-p", PORT, "--json"]
    argv += ["--no-lpd", "--no-seed", *options]
    process = lab.processes.start(argv, "fetch", namespace=host.namespace)
    began = time.monotonic()
    wait_for_word(process, '"event":"complete"', 60)
    took = time.monotonic() - began
    process.succeed(30)
    assert_same(lab.work / "content", folder / "content", modes=True)
    warned = [event["message"] for event in process.events("warning")]
    return took, warned


@pytest.mark.parametrize("mode", ["hang", "html", "redirect", "lie", "dead"])
def test_a_fetch_completes_through_another_tracker(lab: Lab, mode: str) -> None:
    """The useless one comes first; the good one is in the next tier."""
    content, manifest = lab.work / "content", lab.work / "bare.torrent"
    awkward_tree(content, 32 * KIB)
    argv = [BINARY, "create", content, "-o", manifest, "-q"]
    lab.processes.start(argv, "create").succeed(60)
    hostile = lab.network.host()
    program = [sys.executable, hostile_tracker.__file__, hostile.address, 7000]
    running = lab.processes.start(program, "hostile", namespace=hostile.namespace)
    wait_for_word(running, "listening", 10)
    seed = lab.network.host()
    argv = [BINARY, "seed", manifest, "--data", content, "-p", PORT, "--json", "-t", TRACKER]
    process = lab.processes.start(argv, "seed", namespace=seed.namespace)
    wait_for_word(process, '"event":"start"', 60)
    usual, _ = fetch_seconds(lab, [TRACKER])
    useless = f"http://{hostile.address}:7000/{mode}/announce"
    took, warned = fetch_seconds(lab, [useless, TRACKER])
    assert took <= usual + COST_SECONDS
    if mode in ("html", "redirect", "lie"):
        assert any(f"{hostile.address}:7000" in message for message in warned), warned
