"""This project's program on loopback: one call per command, with what its events tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import tracker as tracker_program
from harness.clients import BINARY, wait_for_word
from harness.process import Process, Processes


# A port of the system's choice, and nothing said to the network of the machine.
ALONE = ["-p", "0", "--no-lpd"]


def create(content: Path, manifest: Path, *options: object) -> None:
    """Makes a manifest."""
    argv = [BINARY, "create", content, "-o", manifest, "--quiet", *options]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def command(processes: Processes, name: str, *words: object, **options: Any) -> Process:
    """Starts any command, with events on its standard output."""
    return processes.start([BINARY, name, *words, "--json"], name, **options)


def seed(processes: Processes, manifest: Path, data: Path, *words: object) -> Process:
    """Starts a seed on a port of the system's choice and waits until it serves."""
    process = command(processes, "seed", manifest, "--data", data, *ALONE, *words)
    wait_for_word(process, '"event":"start"', 60)
    return process


def fetch(processes: Processes, manifest: Path, folder: Path, *words: object) -> Process:
    """Starts a fetch on a port of the system's choice."""
    folder.mkdir(parents=True, exist_ok=True)
    return command(processes, "fetch", manifest, "-d", folder, *ALONE, *words)


def address(process: Process) -> str:
    """Where peers reach a seed or fetch, once it has started."""
    return f"127.0.0.1:{process.events('start')[0]['port']}"


def await_complete(process: Process, timeout: float) -> dict[str, Any]:
    """Waits until a fetch is complete; returns the event."""
    wait_for_word(process, '"event":"complete"', timeout)
    return process.events("complete")[0]


def tracker(processes: Processes) -> str:
    """Starts a tracker on loopback; returns its announce URL."""
    argv = [sys.executable, tracker_program.__file__, "127.0.0.1", "0"]
    process = processes.start(argv, "tracker")
    wait_for_word(process, "listening", 10)
    return f"http://127.0.0.1:{process.stdout().split()[1]}/announce"
