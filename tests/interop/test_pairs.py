"""Each client of the field with ours, one as seed and the other as fetcher, and the reverse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.clients import PORT, Aria2, Client, Libtorrent, Swarm, Transmission
from harness.content import assert_same
from harness.lab import Case, Lab

OURS = Swarm()
THEIRS: list[Client] = [Aria2(), Transmission(), Libtorrent()]
BOTH = ["many-by-swarm", "many-by-libtorrent", "single-by-swarm", "single-by-transmission"]
BOTH += ["tiny-by-swarm", "tiny-by-libtorrent"]
PAIRS = [(client, case) for client in THEIRS for case in BOTH] + [(Libtorrent(), "many-hybrid")]
Cases = Callable[[str], Case]

pairs = pytest.mark.parametrize(
    ("client", "name"), PAIRS, ids=[f"{client.name}-{case}" for client, case in PAIRS]
)


@pairs
def test_they_seed_and_we_fetch(lab: Lab, cases: Cases, client: Client, name: str) -> None:
    """Manifests of our own make through the tracker, those of others through `--peer` alone."""
    case = cases(name)
    bare = not name.endswith("-by-swarm")
    seed = lab.job(case, seed=True)
    client.seed(seed, lab.processes)
    lab.await_seed(seed)
    job = lab.job(case, bare=bare)
    peer = f"{seed.host.address}:{PORT}" if bare else None
    fetch = OURS.fetch(job, lab.processes, peer)
    OURS.await_complete(fetch, 60)
    assert_same(case.content, job.folder / case.content.name, modes=name.endswith("-by-swarm"))
    if not bare:
        fetch.stop()
        assert lab.announced(job) == ["started", "completed", "stopped"]
    assert fetch.wait(10) == 0


@pairs
def test_we_seed_and_they_fetch(lab: Lab, cases: Cases, client: Client, name: str) -> None:
    """They find us through the tracker."""
    case = cases(name)
    ours = lab.job(case, seed=True)
    seed = OURS.seed(ours, lab.processes)
    lab.await_seed(ours)
    job = lab.job(case)
    fetch = client.fetch(job, lab.processes)
    client.await_complete(fetch, 60)
    assert_same(case.content, job.folder / case.content.name, empty=client.makes_empty_files)
    assert seed.stop() == 0
    assert lab.announced(ours) == ["started", "stopped"]
