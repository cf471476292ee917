"""The fleet of `test_swarm.py` made of other clients, for comparison. Reported, not gated.

Each runs with its defaults and with its own limit on what it sends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import ours
from harness.clients import Aria2, Libtorrent, wait_for_word
from harness.content import MIB, assert_same, fill
from harness.need import need_program
from harness.process import Process, Processes
from harness.report import REPORT

SIZE = 200 * MIB
RATE = 10 * MIB
ONE_COPY = SIZE / RATE

# Starts a peer that fetches, then serves; also returns what it prints when it has everything.
Start = Callable[[Processes, Path, Path], "tuple[Process, str]"]


def libtorrent(processes: Processes, manifest: Path, folder: Path) -> tuple[Process, str]:
    """libtorrent, through its Python binding."""
    argv = [sys.executable, Libtorrent.program, "seed", manifest, folder]
    argv += ["--listen", "127.0.0.1:0", "--no-utp", "--upload-limit", RATE]
    return processes.start(argv, "libtorrent"), "ready"


def aria2(processes: Processes, manifest: Path, folder: Path) -> tuple[Process, str]:
    """aria2c, which runs a program when it has everything: with an id, a count and a path."""
    need_program("aria2c")
    argv = ["aria2c", *Aria2.options, "--seed-ratio=0", "--check-integrity=true"]
    argv += ["--listen-port=21000-21999", f"--max-overall-upload-limit={RATE}"]
    argv += [f"--dir={folder}", f"--torrent-file={manifest}"]
    argv.append("--on-bt-download-complete=/bin/echo")
    return processes.start(argv, "aria2"), " 1 /"


@pytest.mark.parametrize("start", [libtorrent, aria2])
def test_eight_fetchers_of_another_kind(tmp_path: Path, processes: Processes, start: Start) -> None:
    """One seed, eight fetchers, all started at once; all serve until the last is done."""
    original, manifest = tmp_path / "seed" / "content.bin", tmp_path / "content.torrent"
    fill(original, SIZE)
    ours.create(original, manifest, "-t", ours.tracker(processes))
    wait_for_word(*start(processes, manifest, original.parent), timeout=30)
    begin = time.monotonic()
    folders = [tmp_path / f"fetch{number}" for number in range(8)]
    fetches = [start(processes, manifest, folder) for folder in folders]
    times = []
    for fetch, word in fetches:
        wait_for_word(fetch, word, 10 * ONE_COPY)
        times.append(time.monotonic() - begin)
    for folder in folders:
        assert_same(original, folder / original.name)
    columns = ["program", "last done, s", "of the bound"]
    title = "The same fleet of other clients (bound: 20.0 s)"
    REPORT.row(title, columns, start.__name__, max(times), f"{max(times) / ONE_COPY:.2f}×")
