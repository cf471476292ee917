"""One seed and eight fetchers, every one of them able to send at the same modest rate."""

from __future__ import annotations

from pathlib import Path

from harness import ours
from harness.content import MIB, assert_same, fill
from harness.process import Processes
from harness.report import REPORT

SIZE = 200 * MIB
RATE = 10 * MIB
ONE_COPY = SIZE / RATE


def test_eight_fetchers_finish_in_little_more_than_one_copy(
    tmp_path: Path, processes: Processes
) -> None:
    """The target is 1.3 copies of time and 1.3 copies sent by the seed.

    The gate on time leaves room for a slow machine; that on copies does not.
    """
    original, manifest = tmp_path / "content.bin", tmp_path / "content.torrent"
    fill(original, SIZE)
    ours.create(original, manifest, "-t", ours.tracker(processes))
    limit = ["--upload-limit", "10M"]
    seed = ours.seed(processes, manifest, original, *limit)
    folders = [tmp_path / f"fetch{number}" for number in range(8)]
    fetches = [ours.fetch(processes, manifest, folder, *limit) for folder in folders]
    done = [ours.await_complete(fetch, 5 * ONE_COPY) for fetch in fetches]
    # When all are complete, nobody lingers.
    for fetch in fetches:
        assert fetch.wait(5) == 0
    assert seed.stop() == 0

    copies = seed.events("end")[0]["sent"] / SIZE
    last = max(event["seconds"] for event in done)
    wasted = sum(fetch.events("progress")[-1]["wasted"] for fetch in fetches) / (8 * SIZE)
    from_seed = sum(event["from_seed"] for event in done) / 8
    columns = ["first done, s", "last done, s", "of the bound"]
    columns += ["copies sent by the seed", "wasted", "from the seed"]
    REPORT.row(
        "1 seed, 8 fetchers, 200 MiB, 10 MiB/s up each (bound: 20.0 s)",
        columns,
        min(event["seconds"] for event in done),
        last,
        f"{last / ONE_COPY:.2f}×",
        copies,
        f"{wasted:.2%}",
        f"{from_seed:.1%}",
    )
    for folder in folders:
        assert_same(original, folder / original.name)
    assert copies <= 1.3, f"the seed sent {copies:.2f} copies"
    assert last <= 2 * ONE_COPY, f"the last was done after {last:.1f} s"
