"""One network for one test: its tracker, its hosts, the content that they pass on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.clients import PORT, Job
from harness.network import Network
from harness.process import Failed, Process, Processes, wait_until

# The first host of every network is the tracker's.
TRACKER = "http://10.77.0.1:6969/announce"


@dataclass(frozen=True)
class Case:
    """Content, and the manifest that somebody made of it, with and without its tracker."""

    content: Path
    manifest: Path
    bare_manifest: Path


@dataclass
class Lab:
    """One network for one test: tracker, hosts, processes."""

    network: Network
    processes: Processes
    work: Path
    tracker: Process

    def job(self, case: Case, seed: bool = False, bare: bool = False) -> Job:
        """Work for a new host: with a folder of its own, or the folder of the original."""
        host = self.network.host()
        folder = case.content.parent if seed else self.work / host.address
        folder.mkdir(exist_ok=True)
        return Job(host, case.bare_manifest if bare else case.manifest, folder)

    def await_seed(self, job: Job) -> None:
        """Waits until the tracker has heard of a complete peer at this host."""
        seed = f"{job.host.address} {PORT} 0 "
        try:
            wait_until(f"{seed}is announced", lambda: seed in self.tracker.stdout(), 60)
        except Failed as late:
            tails = [process.tail() for process in self.processes.all]
            raise Failed("\n".join([str(late), *tails])) from None

    def announced(self, job: Job) -> list[str]:
        """The events that this host has told the tracker of, in order."""
        lines = [line.split() for line in self.tracker.stdout().splitlines()]
        return [line[3] for line in lines if line[0] == job.host.address and line[3] != "-"]
