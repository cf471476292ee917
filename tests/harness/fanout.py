"""One seed, many fetchers, one client, every uplink shaped: run once and measured.

Everybody starts at the same moment (`clients.Gate`), the seed serves already, nobody leaves before
all are complete, and every copy is compared byte for byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import plain_tcp, sampler
from harness import tracker as tracker_program
from harness.clients import Client, Gate, wait_for_word
from harness.lab import Case, Lab
from harness.network import Network
from harness.process import Failed, Process, Processes

# Reserved for benchmarks of networks (RFC 2544): no client takes it for its own local network, as
# libtorrent does with private addresses, where it gives up its upload slots.
SUBNET = "198.18.0"
TRACKER = f"http://{SUBNET}.1:6969/announce"
TICKS = os.sysconf("SC_CLK_TCK")
CALIBRATION_SECONDS = 4.0
# A busy machine makes a transfer slower than the queue, never faster.
CALIBRATIONS = 3


@dataclass(frozen=True)
class Setup:
    """What is the same for every client and every round."""

    case: Case
    size: int
    fetchers: int
    # Bits per second that each host may send, headers included; None is as much as it can.
    link: int | None
    timeout: float
    # Where to keep what the programs of each run print, if anywhere.
    logs: Path | None = None


@dataclass(frozen=True)
class Uplink:
    """What one shaped uplink carries when one plain TCP connection fills it, in bytes/s."""

    payload: float
    # As the counters of the interface have it; less than on the wire, because they count the
    # headers of a packet that the sender has left to the card to cut only once.
    counted: float


@contextmanager
def shaped_lab(work: Path, link: int | None) -> Iterator[Lab]:
    """A network with its tracker, which alone is not shaped."""
    work.mkdir()
    try:
        with Network(SUBNET) as network, Processes(work / "log") as processes:
            host = network.host()
            argv = [sys.executable, tracker_program.__file__, host.address, "6969"]
            tracker = processes.start(argv, "tracker", namespace=host.namespace)
            wait_for_word(tracker, "listening", 10)
            yield ShapedLab(network, processes, work, tracker, link)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass
class ShapedLab(Lab):
    """A lab whose hosts get a shaped uplink each."""

    link: int | None = None

    def job(self, case: Case, seed: bool = False, bare: bool = False) -> Any:
        """As in any lab."""
        job = super().job(case, seed, bare)
        if self.link is not None:
            self.network.shape(job.host, self.link)
        return job


def calibrate(work: Path, case: Case, link: int) -> Uplink:
    """The best of some plain TCP transfers through the queue that the clients send through."""
    found = [plain_transfer(work, case, link) for _ in range(CALIBRATIONS)]
    return max(found, key=lambda uplink: uplink.payload)


def plain_transfer(work: Path, case: Case, link: int) -> Uplink:
    """One plain TCP transfer from one host to another."""
    with shaped_lab(work, link) as lab:
        to, via = lab.job(case).host, lab.job(case).host
        at = [to.address, 5001]
        argv = [sys.executable, plain_tcp.__file__]
        receiver = lab.processes.start([*argv, "receive", *at], "receive", namespace=to.namespace)
        wait_for_word(receiver, "listening", 10)
        samples = Samples(lab)
        sending = [*argv, "send", *at, CALIBRATION_SECONDS]
        sender = lab.processes.start(sending, "send", namespace=via.namespace)
        sender.succeed(60)
        receiver.succeed(60)
        # Within the window that the receiver measures, and clear of its ends.
        first = sender.started + plain_tcp.WARM_UP + 0.5
        counted = samples.rate(via.hub_port, first, first + CALIBRATION_SECONDS - 2.0)
        return Uplink(float(receiver.stdout().split()[2]), counted)


class Samples:
    """The sampler of a lab, running from now on."""

    def __init__(self, lab: Lab) -> None:
        argv = [sys.executable, sampler.__file__]
        self._process = lab.processes.start(argv, "sampler", namespace=lab.network.hub)
        wait_for_word(self._process, "\n", 10)

    def read(self) -> list[dict[str, Any]]:
        """All samples so far."""
        return [json.loads(line) for line in self._process.stdout().split("\n")[:-1]]

    def rate(self, port: str, first: float, last: float) -> float:
        """Bytes per second that the host behind a port sent within a span of time."""
        within = [sample for sample in self.read() if first <= sample["t"] <= last]
        if len(within) < 2:
            raise Failed("the sampler did not keep up")
        sent = within[-1]["ports"][port] - within[0]["ports"][port]
        return sent / (within[-1]["t"] - within[0]["t"])


def run(client: Client, setup: Setup, work: Path) -> dict[str, Any]:
    """One run of one client; all raw figures, ready for JSON."""
    with shaped_lab(work, setup.link) as lab:
        seed = lab.job(own_copy(setup.case, work / "seed"), seed=True)
        seeding = client.seed(seed, lab.processes)
        lab.await_seed(seed)
        gate = Gate(work / "gate")
        jobs = [lab.job(setup.case) for _ in range(setup.fetchers)]
        sharing = [client.share(job, lab.processes, gate) for job in jobs]
        for process in sharing:
            wait_for_word(process, gate.ready_word, 60)
        samples = Samples(lab)
        # Time for the last of them to reach the lock after having said so.
        time.sleep(0.3)
        everyone = [seeding, *sharing]
        cpu = sum(map(cpu_seconds, everyone))
        waited = list(map(waited_seconds, everyone))
        began = time.monotonic()
        gate.open()
        done = await_all(client, sharing, began, setup.timeout)
        ended = time.monotonic()
        cpu = sum(map(cpu_seconds, everyone)) - cpu
        waited = [waited_seconds(one) - before for one, before in zip(everyone, waited)]
        rss = max(process.rss_peak for process in everyone if process.code is None)
        taken = [sample for sample in samples.read() if began - 0.2 <= sample["t"] <= ended + 0.1]
        for process in everyone:
            process.stop()
        if setup.logs:
            shutil.copytree(work / "log", setup.logs / f"{client.name}-{time.time_ns()}")
        for job in jobs:
            compare(setup.case.content, job.folder / setup.case.content.name)
    return {
        "client": client.name,
        "completed_s": done,
        "cpu_s": cpu,
        "waited_s": waited,
        "rss_peak": rss,
        **uplinks(taken, began, [seed, *jobs]),
        **machine(taken),
    }


def own_copy(case: Case, folder: Path) -> Case:
    """The same content in a folder of this run, beside which clients may leave what they like."""
    folder.mkdir()
    content = folder / case.content.name
    os.link(case.content, content)
    return replace(case, content=content)


def await_all(client: Client, sharing: list[Process], began: float, timeout: float) -> list[float]:
    """Seconds until each fetcher said that it is complete, in the order of the fetchers."""
    done: dict[int, float] = {}
    logs = [[Log(process.out), Log(process.err)] for process in sharing]
    while len(done) < len(sharing):
        for index, process in enumerate(sharing):
            if index in done:
                continue
            ended = process.code is not None
            if any(log.has_new(client.complete_word.encode()) for log in logs[index]):
                done[index] = time.monotonic() - began
            elif ended:
                raise Failed(f"{process.name} ended before it was complete\n{process.tail()}")
        if time.monotonic() - began > timeout:
            raise Failed(f"{client.name}: {len(done)} of {len(sharing)} done in {timeout:.0f} s")
        time.sleep(0.02)
    return [done[index] for index in range(len(sharing))]


class Log:
    """A file that grows, read piece by piece, since some clients write very much."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def has_new(self, word: bytes) -> bool:
        """Whether `word` is in what was written since the last call, or across its start."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._read - len(word)))
            text = file.read()
            self._read = file.tell()
        return word in text


def compare(original: Path, copy: Path) -> None:
    """Fails unless both files hold the same bytes; removes the copy."""
    with original.open("rb") as ours, copy.open("rb") as theirs:
        while True:
            want, found = ours.read(1 << 20), theirs.read(1 << 20)
            if want != found:
                raise Failed(f"{copy} differs from {original}")
            if not want:
                break
    copy.unlink()


def cpu_seconds(process: Process) -> float:
    """User and system time so far of a running program and of its ended children."""
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    words = stat.rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / TICKS


def waited_seconds(process: Process) -> float:
    """How long the threads of a running program have been ready so far without having a core."""
    waited = 0
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            waited += int((task / "schedstat").read_text().split()[1])
    return waited / 1e9


def uplinks(samples: list[dict[str, Any]], began: float, jobs: list[Any]) -> dict[str, Any]:
    """What each host had sent at each sample, the seed first, from the common start on."""
    ports = [job.host.hub_port for job in jobs]
    first = samples[0]["ports"]
    sent = [[sample["ports"][port] - first[port] for port in ports] for sample in samples]
    return {"sample_s": [sample["t"] - began for sample in samples], "sent": sent}


def machine(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares of all cores' time that were idle and that were stolen."""
    spent = [b - a for a, b in zip(samples[0]["cpu"], samples[-1]["cpu"])]
    total = max(1, sum(spent))
    return {"idle": (spent[3] + spent[4]) / total, "steal": spent[7] / total}
