"""Programs under test: started with their output in a file, always ended, every wait bounded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

POLL = 0.01


class Failed(AssertionError):
    """A program did not do what was asked; carries the end of its output."""


def wait_until(what: str, reached: Callable[[], bool], timeout: float) -> None:
    """Polls until `reached` holds; fails, naming `what`, after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not reached():
        if time.monotonic() > end:
            raise Failed(f"not within {timeout:.0f} s: {what}")
        time.sleep(POLL)


class Process:
    """One running program. Its standard output and its errors go to two files in `work`."""

    def __init__(
        self,
        argv: Sequence[object],
        work: Path,
        *,
        name: str = "process",
        namespace: str | None = None,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.out, self.err = work / f"{name}.out", work / f"{name}.err"
        enter = ["ip", "netns", "exec", namespace] if namespace else []
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._popen = subprocess.Popen(
                [*enter, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self.rss_peak = 0
        self.cpu = 0.0
        self.started = time.monotonic()
        self.seconds = 0.0

    @property
    def code(self) -> int | None:
        """The exit code as a shell would show it, or None while the program runs."""
        if self._popen.returncode is None:
            self._sample_memory()
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            self._popen.returncode = os.waitstatus_to_exitcode(status)
            self.cpu = usage.ru_utime + usage.ru_stime
            self.seconds = time.monotonic() - self.started
        code = self._popen.returncode
        return code if code >= 0 else 128 - code

    def wait(self, timeout: float) -> int:
        """Waits for the program to end by itself and returns its exit code."""
        try:
            wait_until(f"{self.name} ends", lambda: self.code is not None, timeout)
        except Failed as late:
            self.kill()
            raise Failed(f"{late}\n{self.tail()}") from None
        assert self.code is not None
        return self.code

    def succeed(self, timeout: float) -> None:
        """Waits for the program to end with exit code 0."""
        code = self.wait(timeout)
        if code != 0:
            raise Failed(f"{self.name} ended with exit code {code}\n{self.tail()}")

    def stop(self, timeout: float = 10) -> int:
        """Asks the program to end, insists after `timeout` seconds, returns its exit code."""
        if self.code is None:
            self.send(signal.SIGTERM)
            try:
                wait_until(f"{self.name} stops", lambda: self.code is not None, timeout)
            except Failed:
                self.kill()
        assert self.code is not None
        return self.code

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless the program has already ended."""
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the program and everything it started, at once."""
        if self.code is None:
            os.killpg(self.pid, signal.SIGKILL)
            wait_until(f"{self.name} dies", lambda: self.code is not None, 10)

    def _sample_memory(self) -> None:
        # Not ru_maxrss: that of a child counts the memory of the Python it was forked from.
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.rss_peak = max(self.rss_peak, int(line.split()[1]) * 1024)

    def stdout(self) -> str:
        """Everything printed so far."""
        return self.out.read_text(errors="replace")

    def stderr(self) -> str:
        """Everything complained of so far."""
        return self.err.read_text(errors="replace")

    def tail(self) -> str:
        """The end of both outputs, for a person."""
        title = f"--- {self.name}, exit code {self.code}"
        return f"{title}\n{self.stdout()[-2000:]}\n{self.stderr()[-2000:]}\n---"

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events printed so far with `--json`, all or those of one kind."""
        lines = [line for line in self.stdout().split("\n")[:-1] if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        return [event for event in events if kind in (None, event["event"])]


class Processes:
    """Starts programs and ends all that are left when the `with` block is left."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.all: list[Process] = []

    def start(self, argv: Sequence[object], name: str, **options: Any) -> Process:
        """Starts a program; its name, made unique, names its output files."""
        process = Process(argv, self.work, name=f"{len(self.all):02}-{name}", **options)
        self.all.append(process)
        return process

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.all:
            process.kill()
