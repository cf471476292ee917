"""What a test needs from the machine: skipped loudly where it is missing, failed under CI."""

from __future__ import annotations

import os
import shutil

import pytest

from harness.clients import BINARY


def need(reason: str | None) -> None:
    """Skips the running test for `reason`, if there is one; where `CI=true`, fails it."""
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"may not be skipped here: {reason}")
    if reason:
        pytest.skip(reason)


def need_program(program: str) -> None:
    """Needs a program on the search path."""
    need(None if shutil.which(program) else f"{program} is not installed")


def need_root() -> None:
    """Needs to be root, to make namespaces and mounts."""
    need(None if os.geteuid() == 0 else "needs root")


def need_binary() -> None:
    """Needs the release binary."""
    need(None if BINARY.exists() else f"{BINARY} is not built")
