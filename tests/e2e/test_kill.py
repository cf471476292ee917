"""A fetcher that is killed again and again loses nothing that it had verified."""

from __future__ import annotations

import random
import time
from pathlib import Path

from harness import ours
from harness.content import KIB, MIB, assert_same, fill
from harness.process import Process, Processes
from harness.report import REPORT

SIZE = 256 * MIB
KILLS = 20
# Pieces that may be on their way when a fetcher dies.
IN_FLIGHT = 16


def stored(run: Process) -> list[int]:
    """The pieces that a run said it has verified and stored."""
    return [event["index"] for event in run.events("piece") if event["ok"]]


def test_twenty_kills_cost_no_verified_piece(tmp_path: Path, processes: Processes) -> None:
    """No piece is stored twice, and what the seed sends beyond one copy was in flight."""
    piece_len = 256 * KIB
    original, manifest = tmp_path / "content.bin", tmp_path / "content.torrent"
    fill(original, SIZE)
    ours.create(original, manifest, "-s", str(piece_len))
    # So slow that every run is killed with pieces on their way.
    seed = ours.seed(processes, manifest, original, "--upload-limit", "24M")
    words = ["--peer", ours.address(seed), "--json-pieces", "--no-seed"]
    chance, runs = random.Random(20), []
    for _ in range(KILLS):
        run = ours.fetch(processes, manifest, tmp_path / "out", *words)
        runs.append(run)
        time.sleep(chance.uniform(0.02, 0.6))
        assert run.code is None, f"ended before it was killed\n{run.tail()}"
        run.kill()
    assert not (tmp_path / "out" / original.name).exists()
    runs.append(ours.fetch(processes, manifest, tmp_path / "out", *words))
    runs[-1].succeed(60)
    seed.stop()

    pieces = [piece for run in runs for piece in stored(run)]
    twice = len(pieces) - len(set(pieces))
    sent = seed.events("end")[0]["sent"]
    REPORT.row(
        "256 MiB fetch, killed 20 times",
        ["pieces", "stored before the last run", "stored twice", "sent beyond one copy, MiB"],
        SIZE // piece_len,
        len(pieces) - len(stored(runs[-1])),
        twice,
        (sent - SIZE) / MIB,
    )
    assert twice == 0
    assert len(stored(runs[-1])) < SIZE // piece_len, "no run resumed anything"
    assert sent <= SIZE + KILLS * IN_FLIGHT * piece_len
    assert_same(original, tmp_path / "out" / original.name)
