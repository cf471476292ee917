"""The clients of the field, each as seed and as fetcher of one manifest.

They run with their defaults, but for what would reach beyond the test: DHT, multicast discovery
and port mapping are off.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Sequence
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


class Gate:
    """Holds programs back until all of them are there, so that none has a head start."""

    ready_word = "at the gate"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def hold(self, argv: list[object]) -> list[object]:
        """A command that waits at the gate, then becomes `argv`."""
        script = f'echo {self.ready_word}; flock --shared "$0" true; exec "$@"'
        return ["sh", "-c", script, self.path, *argv]

    def open(self) -> None:
        """Lets everybody go."""
        fcntl.flock(self._file, fcntl.LOCK_UN)


class Client(Protocol):
    """What the tests need of any client."""

    name: str
    makes_empty_files: bool
    # What a `share` prints when it has everything.
    complete_word: str

    def seed(self, job: Job, processes: Processes) -> Process:
        """Starts serving what is in the folder."""

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Starts fetching into the folder, from the tracker's peers or from `peer` alone."""

    def share(self, job: Job, processes: Processes, gate: Gate) -> Process:
        """Starts fetching when the gate opens, and then serves until it is ended."""

    def await_complete(self, process: Process, timeout: float) -> None:
        """Waits until a fetch says that it has everything."""


class Swarm:
    """This project's own program."""

    name = "swarm"
    makes_empty_files = True
    complete_word = '"event":"complete"'

    def __init__(self, share_options: Sequence[str] = ()) -> None:
        self._share_options = share_options

    def seed(self, job: Job, processes: Processes) -> Process:
        """Serves at once after checking the data."""
        argv = [BINARY, "seed", job.manifest, "--data", job.folder, "-p", str(PORT), "--json"]
        argv.append("--no-lpd")
        return processes.start(argv, "swarm-seed", namespace=job.host.namespace)

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Ends by itself when it is complete."""
        argv = [BINARY, "fetch", job.manifest, "-d", job.folder, "-p", str(PORT), "--json"]
        argv.append("--no-lpd")
        argv += ["--peer", peer, "--no-seed"] if peer else ["--linger", "10s"]
        return processes.start(argv, "swarm-fetch", namespace=job.host.namespace)

    def share(self, job: Job, processes: Processes, gate: Gate) -> Process:
        """With `--seed` it serves for ever."""
        argv = [BINARY, "fetch", job.manifest, "-d", job.folder, "-p", str(PORT), "--json"]
        argv.append("--no-lpd")
        held = gate.hold([*argv, "--seed", *self._share_options])
        return processes.start(held, "swarm-share", namespace=job.host.namespace)

    def await_complete(self, process: Process, timeout: float) -> None:
        """The content has its real name as soon as the event is printed."""
        wait_for_word(process, self.complete_word, timeout)


class Aria2:
    """aria2c."""

    name = "aria2"
    makes_empty_files = True
    # The number of files and the start of a path, as the hook of `share` prints them.
    complete_word = " 1 /"
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

    def share(self, job: Job, processes: Processes, gate: Gate) -> Process:
        """With a share ratio of 0 it serves for ever; a hook says when everything is there."""
        role = ["--seed-ratio=0.0", "--on-bt-download-complete=/bin/echo"]
        held = gate.hold(self._command(job, role))
        return processes.start(held, "aria2-share", namespace=job.host.namespace)

    def _start(self, job: Job, processes: Processes, name: str, role: list[str]) -> Process:
        return processes.start(self._command(job, role), name, namespace=job.host.namespace)

    def _command(self, job: Job, role: list[str]) -> list[object]:
        argv = ["aria2c", *self.options, *role, f"--dir={job.folder}"]
        return [*argv, f"--torrent-file={job.manifest}"]

    def await_complete(self, process: Process, timeout: float) -> None:
        """Without seed time, aria2 ends when it is done."""
        process.succeed(timeout)


class Transmission:
    """transmission-cli."""

    name = "transmission"
    # Version 3.00 leaves them out; seen in these tests.
    makes_empty_files = False
    complete_word = "Calling script"
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

    def __init__(self, lsd: bool = False) -> None:
        self._lsd = lsd

    def seed(self, job: Job, processes: Processes) -> Process:
        """Checks the data first."""
        return self._start(job, processes, "transmission-seed", ["--verify"])

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """transmission-cli has no way to name a peer."""
        assert peer is None
        return self._start(job, processes, "transmission-fetch", [])

    def share(self, job: Job, processes: Processes, gate: Gate) -> Process:
        """It seeds for ever anyway."""
        return self._start(job, processes, "transmission-share", [], gate)

    def _start(
        self,
        job: Job,
        processes: Processes,
        name: str,
        role: list[str],
        gate: Gate | None = None,
    ) -> Process:
        config = job.folder.parent / f"{job.folder.name}.transmission"
        config.mkdir(parents=True)
        settings = {**self.settings, "lpd-enabled": self._lsd}
        (config / "settings.json").write_text(json.dumps(settings))
        argv = ["transmission-cli", *role, "--config-dir", config]
        argv += ["--port", str(PORT), "--download-dir", job.folder, "--finish", "/bin/true"]
        argv.append(job.manifest)
        options = {"namespace": job.host.namespace, "env": {"HOME": str(config)}}
        return processes.start(gate.hold(argv) if gate else argv, name, **options)

    def await_complete(self, process: Process, timeout: float) -> None:
        """Transmission seeds on for ever; it calls a script when everything is there."""
        wait_for_word(process, self.complete_word, timeout)


class Libtorrent:
    """libtorrent, through its Python binding."""

    name = "libtorrent"
    makes_empty_files = True
    complete_word = "ready"
    program = Path(__file__).with_name("libtorrent_peer.py")

    def __init__(self, utp: bool = True, lsd: bool = False) -> None:
        self._utp = utp
        self._lsd = lsd

    def seed(self, job: Job, processes: Processes) -> Process:
        """Checks the data first."""
        return self._start("seed", job, processes, [])

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Ends by itself when it is complete."""
        return self._start("fetch", job, processes, ["--peer", peer] if peer else [])

    def share(self, job: Job, processes: Processes, gate: Gate) -> Process:
        """Waits at the gate after its start as a Python program, which is not libtorrent's cost."""
        return self._start("share", job, processes, ["--gate", str(gate.path)])

    def _start(self, role: str, job: Job, processes: Processes, more: list[str]) -> Process:
        argv = [sys.executable, self.program, role, job.manifest, job.folder, *more]
        argv += ["--listen", f"{job.host.address}:{PORT}", *([] if self._utp else ["--no-utp"])]
        argv += ["--lsd"] if self._lsd else []
        return processes.start(argv, f"libtorrent-{role}", namespace=job.host.namespace)

    def await_complete(self, process: Process, timeout: float) -> None:
        """The program ends."""
        process.succeed(timeout)


class Rqbit:
    """rqbit, as `rqbit download`."""

    name = "rqbit"
    makes_empty_files = True
    complete_word = "torrent finished downloading"
    options = ["--disable-dht", "--disable-lsd", "--ipv4-only", "--disable-upnp-port-forward"]

    def seed(self, job: Job, processes: Processes) -> Process:
        """Checks the data first; without `--overwrite` it would not touch what is there."""
        argv = self._command(job, ["--overwrite"])
        return processes.start(argv, "rqbit-seed", namespace=job.host.namespace)

    def fetch(self, job: Job, processes: Processes, peer: str | None = None) -> Process:
        """Ends by itself when it is complete."""
        more = ["--exit-on-finish", *(["--initial-peers", peer] if peer else [])]
        argv = self._command(job, more)
        return processes.start(argv, "rqbit-fetch", namespace=job.host.namespace)

    def share(self, job: Job, processes: Processes, gate: Gate) -> Process:
        """Without being told otherwise it serves for ever."""
        held = gate.hold(self._command(job, []))
        return processes.start(held, "rqbit-share", namespace=job.host.namespace)

    def _command(self, job: Job, more: list[str]) -> list[object]:
        argv = ["rqbit", *self.options, "--listen-port", str(PORT), "download", *more]
        return [*argv, "--disable-http-api", "--output-folder", job.folder, job.manifest]

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
