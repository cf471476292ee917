"""All clients in one swarm, ours among them, until every one has everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.clients import Aria2, Client, Libtorrent, Swarm, Transmission
from harness.content import assert_same
from harness.lab import Case, Lab


@pytest.mark.parametrize(
    ("seed", "fetchers"),
    [
        (Swarm(), [Swarm(), Aria2(), Transmission(), Libtorrent()]),
        (Libtorrent(), [Swarm(), Swarm(), Aria2(), Transmission()]),
    ],
    ids=["swarm-seeds", "libtorrent-seeds"],
)
def test_everyone_ends_with_the_same_bytes(
    lab: Lab, cases: Callable[[str], Case], seed: Client, fetchers: list[Client]
) -> None:
    """They start together and find each other through the tracker."""
    case = cases("many-by-swarm")
    source = lab.job(case, seed=True)
    seed.seed(source, lab.processes)
    lab.await_seed(source)
    jobs = [lab.job(case) for _ in fetchers]
    started = [client.fetch(job, lab.processes) for client, job in zip(fetchers, jobs)]
    for client, process in zip(fetchers, started):
        client.await_complete(process, 90)
    for client, job in zip(fetchers, jobs):
        copy = job.folder / case.content.name
        assert_same(case.content, copy, empty=client.makes_empty_files)
