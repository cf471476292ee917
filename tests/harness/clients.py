"""The clients of the field, each as seed and as fetcher of one manifest.

They run with their defaults, but for what would reach beyond the test: DHT, multicast discovery
and port mapping are off.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.network import Host
from harness.process import Failed, Process, Processes, wait_until

PORT = 6881
BINARY = Path(os.environ.get("SWARM_BIN", "target/release/swarm")).absolute()


@dataclass(frozen=True)
class Job:
    """One manifest, the folder its content is or will be in, and the host that works on it."""

    host: Host
    manifest: Path
    folder: Path


class Client(Protocol):
    """What the tests need of any client."""

    name: str
    makes_empty_files: bool

    def seed(self, job: Job, processes: Processes) -> Process:
        """Starts serving what is in the folder."""

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Starts fetching into the folder, from the tracker's peers or from `peer` alone."""

    def await_complete(self, process: Process, timeout: float) -> None:
        """Waits until a fetch says that it has everything."""


class Swarm:
    """This project's own program."""

    name = "swarm"
    makes_empty_files = True

    def seed(self, job: Job, processes: Processes) -> Process:
        """Serves at once after checking the data."""
        argv = [BINARY, "seed", job.manifest, "--data", job.folder, "-p", str(PORT), "--json"]
        return processes.start(argv, "swarm-seed", namespace=job.host.namespace)

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Ends by itself when it is complete."""
        argv = [BINARY, "fetch", job.manifest, "-d", job.folder, "-p", str(PORT), "--json"]
        argv += ["--peer", peer, "--no-seed"] if peer else ["--linger", "10s"]
        return processes.start(argv, "swarm-fetch", namespace=job.host.namespace)

    def await_complete(self, process: Process, timeout: float) -> None:
        """The content has its real name as soon as the event is printed."""
        wait_for_word(process, '"event":"complete"', timeout)


class Aria2:
    """aria2c."""

    name = "aria2"
    makes_empty_files = True
    options = [
        "--no-conf=true",
        "--enable-dht=false",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--file-allocation=none",
        "--console-log-level=notice",
        "--summary-interval=0",
        f"--listen-port={PORT}",
    ]

    def seed(self, job: Job, processes: Processes) -> Process:
        """Checks the data, then serves for ever."""
        role = ["--check-integrity=true", "--seed-ratio=0.0"]
        return self._start(job, processes, "aria2-seed", role)

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """aria2 has no way to name a peer."""
        assert peer is None
        return self._start(job, processes, "aria2-fetch", ["--seed-time=0"])

    def _start(self, job: Job, processes: Processes, name: str, role: list[str]) -> Process:
        argv = ["aria2c", *self.options, *role, f"--dir={job.folder}"]
        argv.append(f"--torrent-file={job.manifest}")
        return processes.start(argv, name, namespace=job.host.namespace)

    def await_complete(self, process: Process, timeout: float) -> None:
        """Without seed time, aria2 ends when it is done."""
        process.succeed(timeout)


class Transmission:
    """transmission-cli."""

    name = "transmission"
    # Version 3.00 leaves them out; seen in these tests.
    makes_empty_files = False
    settings = {
        "dht-enabled": False,
        "lpd-enabled": False,
        "port-forwarding-enabled": False,
        "peer-id-ttl-hours": 6,
        "rename-partial-files": True,
        "ratio-limit-enabled": False,
        # Without: swarm has no uTP, and Transmission tries nothing else for the first 15 s.
        "utp-enabled": False,
    }

    def seed(self, job: Job, processes: Processes) -> Process:
        """Checks the data first."""
        return self._start(job, processes, "transmission-seed", ["--verify"])

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """transmission-cli has no way to name a peer."""
        assert peer is None
        return self._start(job, processes, "transmission-fetch", [])

    def _start(self, job: Job, processes: Processes, name: str, role: list[str]) -> Process:
        config = job.folder.parent / f"{job.folder.name}.transmission"
        config.mkdir(parents=True)
        (config / "settings.json").write_text(json.dumps(self.settings))
        argv = ["transmission-cli", *role, "--config-dir", config]
        argv += ["--port", str(PORT), "--download-dir", job.folder, "--finish", "/bin/true"]
        options = {"namespace": job.host.namespace, "env": {"HOME": str(config)}}
        return processes.start([*argv, job.manifest], name, **options)

    def await_complete(self, process: Process, timeout: float) -> None:
        """Transmission seeds on for ever; it calls a script when everything is there."""
        wait_for_word(process, "Calling script", timeout)


class Libtorrent:
    """libtorrent, through its Python binding."""

    name = "libtorrent"
    makes_empty_files = True
    program = Path(__file__).with_name("libtorrent_peer.py")

    def seed(self, job: Job, processes: Processes) -> Process:
        """Checks the data first."""
        return self._start("seed", job, processes, [])

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Ends by itself when it is complete."""
        return self._start("fetch", job, processes, ["--peer", peer] if peer else [])

    def _start(self, role: str, job: Job, processes: Processes, more: list[str]) -> Process:
        argv = [sys.executable, self.program, role, job.manifest, job.folder, *more]
        argv += ["--listen", f"{job.host.address}:{PORT}"]
        return processes.start(argv, f"libtorrent-{role}", namespace=job.host.namespace)

    def await_complete(self, process: Process, timeout: float) -> None:
        """The program ends."""
        process.succeed(timeout)


def wait_for_word(process: Process, word: str, timeout: float) -> None:
    """Waits until a program has printed `word`; fails at once if it ends without."""

    def printed() -> bool:
        ended = process.code is not None
        if word in process.stdout() or word in process.stderr():
            return True
        assert not ended, f"{process.name} ended without printing {word}\n{process.tail()}"
        return False

    try:
        wait_until(f"{process.name} prints {word}", printed, timeout)
    except Failed as late:
        raise Failed(f"{late}\n{process.tail()}") from None
