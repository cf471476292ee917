"""Processes for a test, and the figures that all tests measured, printed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.need import need_binary
from harness.process import Processes
from harness.report import REPORT


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts programs whose output goes to the test's folder; none outlives the test."""
    need_binary()
    with Processes(tmp_path / "log") as started:
        yield started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what was measured."""
    if tables := REPORT.markdown():
        terminalreporter.section("measured")
        terminalreporter.write_line(tables)
