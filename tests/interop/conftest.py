"""A test network with a tracker, and content that is awkward in every way that BEP 3 allows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import content, makers
from harness import tracker as tracker_program
from harness.content import KIB
from harness.lab import TRACKER, Case, Lab
from harness.need import need, need_binary, need_program
from harness.network import Network, available
from harness.process import Processes, wait_until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A network with a tracker on it."""
    need(available())
    for program in ["aria2c", "transmission-cli", "transmission-create"]:
        need_program(program)
    need_binary()
    with Network() as network, Processes(tmp_path / "log") as processes:
        host = network.host()
        argv = [sys.executable, tracker_program.__file__, host.address, "6969"]
        tracker = processes.start(argv, "tracker", namespace=host.namespace)
        wait_until("tracker listens", lambda: "listening" in tracker.stdout(), 10)
        yield Lab(network, processes, tmp_path, tracker)


Maker = Callable[[Path, Path, "str | None", int], None]


def _many(folder: Path) -> Path:
    content.awkward_tree(folder / "Ünïcode 目录", 32 * KIB)
    return folder / "Ünïcode 目录"


def _single(folder: Path) -> Path:
    content.fill(folder / "single file.bin", 192 * 16 * KIB + 1)
    return folder / "single file.bin"


def _tiny(folder: Path) -> Path:
    content.fill(folder / "tiny.bin", 1000)
    return folder / "tiny.bin"


CASES: dict[str, tuple[Callable[[Path], Path], Maker, int]] = {
    "many-by-swarm": (_many, makers.swarm, 32 * KIB),
    "many-by-libtorrent": (_many, makers.libtorrent_v1, 32 * KIB),
    "many-hybrid": (_many, makers.libtorrent_hybrid, 32 * KIB),
    "single-by-swarm": (_single, makers.swarm, 16 * KIB),
    "single-by-transmission": (_single, makers.transmission, 16 * KIB),
    "tiny-by-swarm": (_tiny, makers.swarm, 64 * KIB),
    "tiny-by-libtorrent": (_tiny, makers.libtorrent_v1, 64 * KIB),
}


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Makes the content and the manifests of a case, once."""
    made: dict[str, Case] = {}

    def make(name: str) -> Case:
        if name not in made:
            write, maker, piece_len = CASES[name]
            folder = tmp_path_factory.mktemp(name)
            original = write(folder)
            case = Case(original, folder / "full.torrent", folder / "bare.torrent")
            maker(original, case.manifest, TRACKER, piece_len)
            maker(original, case.bare_manifest, None, piece_len)
            made[name] = case
        return made[name]

    return make
