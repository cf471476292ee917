"""Programs that make manifests, each with or without a tracker in it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import libtorrent

from harness.clients import BINARY


def swarm(content: Path, manifest: Path, tracker: str | None, piece_len: int) -> None:
    """Makes a manifest with this project's program."""
    argv = [BINARY, "create", content, "-o", manifest, "-s", str(piece_len), "-q"]
    run([*argv, *(["-t", tracker] if tracker else [])])


def transmission(content: Path, manifest: Path, tracker: str | None, piece_len: int) -> None:
    """Makes a manifest with transmission-create."""
    argv = ["transmission-create", "-o", manifest, "-s", str(piece_len // 1024)]
    run([*argv, *(["-t", tracker] if tracker else []), content])


def libtorrent_v1(content: Path, manifest: Path, tracker: str | None, piece_len: int) -> None:
    """Makes a BitTorrent v1 manifest with libtorrent."""
    _libtorrent(content, manifest, tracker, piece_len, libtorrent.create_torrent.v1_only)


def libtorrent_hybrid(content: Path, manifest: Path, tracker: str | None, piece_len: int) -> None:
    """Makes a manifest with libtorrent that is both v1 and v2, with padding files."""
    _libtorrent(content, manifest, tracker, piece_len, 0)


def _libtorrent(
    content: Path, manifest: Path, tracker: str | None, piece_len: int, flags: int
) -> None:
    files = libtorrent.list_files(str(content))
    torrent = libtorrent.create_torrent(files, piece_len, flags)
    if tracker:
        torrent.add_tracker(tracker)
    libtorrent.set_piece_hashes(torrent, str(content.parent))
    manifest.write_bytes(libtorrent.bencode(torrent.generate()))


def run(argv: Sequence[object]) -> None:
    """Runs a maker that must succeed."""
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
