"""One seed to one fetcher on this machine, ours and libtorrent's in turn. Reported, not gated."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from harness import ours
from harness.clients import Libtorrent, wait_for_word
from harness.content import MIB, assert_same, fill
from harness.process import Process, Processes
from harness.report import REPORT

SIZE = 1024 * MIB
ROUNDS = 3


def ours_once(processes: Processes, manifest: Path, original: Path, out: Path) -> list[Process]:
    """One transfer by this project; returns the seed and the fetcher, both ended."""
    seed = ours.seed(processes, manifest, original)
    fetch = ours.fetch(processes, manifest, out, "--peer", ours.address(seed), "--no-seed")
    fetch.succeed(120)
    seed.stop()
    return [seed, fetch]


def libtorrent_once(
    processes: Processes, manifest: Path, original: Path, out: Path
) -> list[Process]:
    """The same by libtorrent, over TCP: over uTP it moves 16 MiB/s here."""
    program = [sys.executable, Libtorrent.program]
    listen = ["--listen", "127.0.0.1:0", "--no-utp"]
    seed = processes.start([*program, "seed", manifest, original.parent, *listen], "lt-seed")
    wait_for_word(seed, "ready", 60)
    peer = f"127.0.0.1:{seed.stdout().split()[1]}"
    fetch = [*program, "fetch", manifest, out, "--peer", peer, *listen]
    fetcher = processes.start(fetch, "lt-fetch")
    fetcher.succeed(120)
    seed.stop()
    return [seed, fetcher]


def test_one_seed_to_one_fetcher(tmp_path: Path, processes: Processes) -> None:
    """From the start of the fetcher to its end, on the same file, in turn."""
    original, manifest = tmp_path / "content.bin", tmp_path / "content.torrent"
    fill(original, SIZE)
    ours.create(original, manifest)
    programs = {"swarm": ours_once, "libtorrent": libtorrent_once}
    runs: dict[str, list[list[Process]]] = {name: [] for name in programs}
    for number in range(ROUNDS):
        for name, once in programs.items():
            out = tmp_path / "out"
            runs[name].append(once(processes, manifest, original, out))
            if number == 0:
                assert_same(original, out / original.name)
            (out / original.name).unlink()
    for name, pairs in runs.items():
        REPORT.row(
            "1 GiB from one seed to one fetcher, both on this machine",
            ["program", "MiB/s, median", "best", "CPU-s/GiB seed", "CPU-s/GiB fetcher"],
            name,
            SIZE / MIB / median(fetch.seconds for _, fetch in pairs),
            SIZE / MIB / min(fetch.seconds for _, fetch in pairs),
            median(seed.cpu for seed, _ in pairs),
            median(fetch.cpu for _, fetch in pairs),
        )
