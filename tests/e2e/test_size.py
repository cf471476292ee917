"""Very many files, and a very large one: every command does its work in little memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import ours
from harness.content import KIB, MIB, assert_same, fill, many_small_files
from harness.process import Process, Processes
from harness.report import REPORT

RSS_MAX = 150 * MIB
CASES: dict[str, Callable[[Path], None]] = {
    "100,000 files of 1 KiB": lambda path: many_small_files(path, 100_000, KIB),
    "one file of 2 GiB": lambda path: fill(path, 2048 * MIB),
}


@pytest.mark.parametrize("name", CASES)
def test_every_command_stays_below_150_mib(tmp_path: Path, processes: Processes, name: str) -> None:
    """create, verify, seed, fetch; peak resident memory of each."""
    original, manifest = tmp_path / "content", tmp_path / "content.torrent"
    CASES[name](original)
    create = ours.command(processes, "create", original, "-o", manifest)
    create.succeed(180)
    verify = ours.command(processes, "verify", manifest, original)
    verify.succeed(180)
    seed = ours.seed(processes, manifest, original)
    words = ["--peer", ours.address(seed), "--no-seed"]
    fetch = ours.fetch(processes, manifest, tmp_path / "out", *words)
    fetch.succeed(300)
    assert seed.stop() == 0
    assert_same(original, tmp_path / "out" / "content")

    steps: list[tuple[str, Process]] = [
        ("create", create),
        ("verify", verify),
        ("seed", seed),
        ("fetch", fetch),
    ]
    for step, process in steps:
        columns = ["content", "command", "seconds", "CPU seconds", "peak RSS, MiB"]
        cells = (name, step, process.seconds, process.cpu, process.rss_peak / MIB)
        REPORT.row("Size", columns, *cells)
    for step, process in steps:
        assert process.rss_peak <= RSS_MAX, f"{step}: {process.rss_peak / MIB:.0f} MiB"
