"""`scripts/compare-clients`: measures, compares, and leaves nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from harness import compared
from harness.need import need, need_binary, need_program
from harness.network import PREFIX, available
from harness.process import Process, Processes, wait_until

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare-clients"
MIB = 1 << 20


def compare_clients(tmp_path: Path, processes: Processes, *words: str) -> Process:
    """Starts it with two fetchers and its copies in the test's folder."""
    need(available())
    for program in ["tc", "aria2c"]:
        need_program(program)
    need_binary()
    argv = [sys.executable, SCRIPT, "--fetchers", "2", "--rounds", "1", "--work", tmp_path]
    return processes.start([*argv, *words], "compare-clients")


def left_behind(process: Process, work: Path) -> list[Path]:
    """Namespaces and folders of this run."""
    namespaces = Path("/run/netns").glob(f"{PREFIX}-{process.pid}-*")
    return [*namespaces, *work.glob("swarm-compare-*")]


def test_every_client_is_measured_under_the_same_limit(tmp_path: Path) -> None:
    """One round of two clients: all fetchers complete, none before the bound."""
    with Processes(tmp_path / "log") as processes:
        out = tmp_path / "out"
        words = ["--clients", "swarm,aria2", "--size", "8M", "--link", "40Mbit", "--out", str(out)]
        process = compare_clients(tmp_path, processes, *words)
        process.succeed(180)
        assert left_behind(process, tmp_path) == []
    found = json.loads((out / "compare.json").read_text())
    assert [run["client"] for run in found["runs"]] == ["swarm", "aria2"]
    for run in found["runs"]:
        assert len(run["completed_s"]) == 2
        assert 0.2 < run["figures"]["efficiency_payload"] <= 1.02
        assert run["figures"]["copies"] > 1.0
    assert found["session"]["uplink_payload"] < 40e6 / 8
    assert "| aria2 " in (out / "compare.md").read_text()


def test_an_interrupted_comparison_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM while a client runs: no namespace, no copy, no process."""
    with Processes(tmp_path / "log") as processes:
        words = ["--clients", "swarm", "--size", "64M", "--link", "10Mbit"]
        process = compare_clients(tmp_path, processes, *words)

        def fetching() -> bool:
            folders = list(tmp_path.glob("swarm-compare-*/run/log/*swarm-share.out"))
            return len(folders) == 2 and all(b"start" in path.read_bytes() for path in folders)

        wait_until("fetchers run", fetching, 120)
        assert left_behind(process, tmp_path) != []
        assert process.stop(30) != 0
        assert left_behind(process, tmp_path) == []


@pytest.mark.parametrize(
    ("fetchers", "size", "rate", "seconds"),
    [
        # One copy must leave the seed; that takes longer than all uplinks need for all copies.
        (15, 256 * MIB, 10e6, 26.8),
        (1, 100, 10.0, 10.0),
    ],
)
def test_the_bound_is_one_copy_over_the_uplink_of_the_seed(
    fetchers: int, size: int, rate: float, seconds: float
) -> None:
    """Equal uplinks, one seed."""
    session = {"size": size, "fetchers": fetchers}
    assert compared.bound(session, rate) == pytest.approx(seconds, rel=0.01)


def test_unused_uplinks_are_counted_in_seconds_of_a_full_one() -> None:
    """The seed sends at full rate for one second of two, the fetcher in the other."""
    run = {"completed_s": [2.0], "sample_s": [0.0, 1.0, 2.0], "sent": [[0, 0], [10, 0], [10, 10]]}
    links = compared.where_time_went(run, 10.0)
    assert links["seed_unused_s"] == pytest.approx(1.0)
    assert links["all_unused_s"] == pytest.approx(1.0)
    assert links["all_nine_tenths_full_from_s"] is None
