"""What may go wrong around a transfer: nothing is lost or overwritten, the exit code is right."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import ours
from harness.content import KIB, MIB, assert_same, fill
from harness.need import need_root
from harness.process import Process, Processes, wait_until

SIZE = 16 * MIB
PIECE = 64 * KIB

Disk = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes small file systems in memory; unmounted at the end."""
    need_root()
    mounted: list[Path] = []

    def mount(size: int, options: str = "rw") -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        what = ["-t", "tmpfs", "-o", f"size={size},{options}", "tmpfs", str(folder)]
        subprocess.run(["mount", *what], check=True, timeout=10)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


class Shared:
    """Content with a manifest and a seed, and the words a fetcher needs to find it."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.processes = processes
        self.original, self.manifest = folder / "content.bin", folder / "content.torrent"
        fill(self.original, SIZE)
        ours.create(self.original, self.manifest, "-s", str(PIECE))
        self.seed = ours.seed(processes, self.manifest, self.original)
        self.words = ["--peer", ours.address(self.seed), "--no-seed"]

    def fetch(self, folder: Path, *words: object) -> Process:
        """Starts fetching from the seed."""
        return ours.fetch(self.processes, self.manifest, folder, *self.words, *words)

    def begin(self, folder: Path) -> Process:
        """Starts fetching slowly, and waits until a part is there."""
        process = self.fetch(folder, "--download-limit", "2M", "--json-pieces")
        wait_until("the first pieces arrive", lambda: len(process.events("piece")) > 3, 20)
        return process

    def finish(self, folder: Path) -> None:
        """Fetches what is missing; all must be right then."""
        self.fetch(folder).succeed(30)
        assert_same(self.original, folder / self.original.name)


@pytest.fixture
def shared(tmp_path: Path, processes: Processes) -> Shared:
    """16 MiB, seeded."""
    return Shared(tmp_path, processes)


def test_too_small_a_disk_is_refused_before_the_download(shared: Shared, disk: Disk) -> None:
    """Exit code 9, with figures, and nothing is left behind."""
    folder = disk(SIZE // 2)
    fetch = shared.fetch(folder)
    assert fetch.wait(10) == 9, fetch.tail()
    assert "needed" in fetch.stderr()
    assert not fetch.events("progress") or fetch.events("progress")[-1]["received"] == 0


def test_a_disk_that_fills_up_ends_the_fetch_and_a_rerun_resumes(
    shared: Shared, disk: Disk
) -> None:
    """Exit code 9, never "complete"; when there is space, only the rest is fetched."""
    folder = disk(SIZE + 8 * MIB)
    fetch = shared.begin(folder)
    with pytest.raises(OSError), (folder / "other data").open("wb") as other:
        while True:
            other.write(bytes(64 * KIB))
            other.flush()
    assert fetch.wait(30) == 9, fetch.tail()
    assert "space" in fetch.stderr()
    assert not fetch.events("complete")
    (folder / "other data").unlink()
    shared.finish(folder)


def test_a_read_only_directory_is_refused_at_once(shared: Shared, disk: Disk) -> None:
    """Exit code 9, naming the directory."""
    folder = disk(2 * SIZE, "ro")
    fetch = shared.fetch(folder)
    assert fetch.wait(10) == 9, fetch.tail()
    assert str(folder) in fetch.stderr()


def test_a_second_fetch_into_the_same_place_names_the_first(shared: Shared, tmp_path: Path) -> None:
    """It fails at once; the first goes on undisturbed."""
    first = shared.begin(tmp_path / "out")
    second = shared.fetch(tmp_path / "out")
    assert second.wait(5) == 1, second.tail()
    assert str(first.pid) in second.stderr()
    first.succeed(60)
    assert_same(shared.original, tmp_path / "out" / shared.original.name)


@pytest.mark.parametrize("planted", ["content.bin", ".content.bin.swarm-part"])
def test_a_planted_link_is_not_followed(shared: Shared, tmp_path: Path, planted: str) -> None:
    """What it leads to stays as it was."""
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    fill(treasure / "content.bin", 1000)
    before = (treasure / "content.bin").read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    target = treasure / "content.bin" if planted == "content.bin" else treasure
    (out / planted).symlink_to(target)
    fetch = shared.fetch(out)
    assert fetch.wait(30) == 8, fetch.tail()
    assert sorted(path.name for path in treasure.iterdir()) == ["content.bin"]
    assert (treasure / "content.bin").read_bytes() == before


@pytest.mark.parametrize("harm", ["truncated", "modified"])
def test_a_file_that_changes_beneath_a_seed_does_no_harm(
    shared: Shared, tmp_path: Path, harm: str
) -> None:
    """No bad piece is stored or sent again; put right, the content can be fetched."""
    good = shared.original.read_bytes()
    fetch = shared.fetch(tmp_path / "out", "--download-limit", "2M", "--stall-timeout", "3s")
    wait_until("some pieces arrive", lambda: bool(fetch.events("progress")), 20)
    with shared.original.open("r+b") as file:
        if harm == "truncated":
            file.truncate(SIZE // 2)
        else:
            file.write(bytes(SIZE))
    code = fetch.wait(60)
    assert code == 7, fetch.tail()
    assert not (tmp_path / "out" / "content.bin").exists()
    # What was on its way when the file changed may be bad, and is thrown away; none is bad twice.
    bad = [event["message"] for event in fetch.events("warning") if event["code"] == "bad-piece"]
    assert len(bad) == len(set(bad)), bad
    shared.seed.stop()
    shared.original.write_bytes(good)
    healthy = ours.seed(shared.processes, shared.manifest, shared.original)
    shared.words[1] = ours.address(healthy)
    shared.finish(tmp_path / "out")


def test_what_was_stopped_in_place_goes_on_as_the_screen_says(
    tmp_path: Path, processes: Processes
) -> None:
    """A directory that is there already is filled in place, and --repair keeps what came."""
    original, manifest, folder = tmp_path / "tree", tmp_path / "tree.torrent", tmp_path / "out"
    original.mkdir()
    fill(original / "large.bin", SIZE)
    fill(original / "small.bin", KIB)
    ours.create(original, manifest, "-s", str(PIECE))
    seed = ours.seed(processes, manifest, original)
    words = ["--peer", ours.address(seed), "--no-seed", *ours.ALONE]
    (folder / "tree").mkdir(parents=True)
    slowly = ["--download-limit", "2M", "--progress", "plain", "--progress-interval", "100ms"]
    argv = [ours.BINARY, "fetch", manifest, "-d", folder, *words, *slowly]
    first = processes.start(argv, "fetch")
    wait_until("a tenth is there", lambda: bool(re.search(r" [1-9]\d% ", first.stderr())), 20)
    assert first.stop(timeout=5) == 143
    assert "run it again with --repair to resume" in first.stderr(), first.tail()
    again = ours.fetch(processes, manifest, folder, *words[:3], "--json-pieces", "--repair")
    again.succeed(30)
    assert 0 < len(again.events("piece")) < SIZE // PIECE
    assert_same(original, folder / "tree")


def test_sigterm_ends_within_two_seconds_and_a_rerun_resumes(
    shared: Shared, tmp_path: Path
) -> None:
    """Exit code 143 while incomplete; stored pieces are not fetched again."""
    fetch = shared.begin(tmp_path / "out")
    asked = time.monotonic()
    assert fetch.stop(timeout=5) == 143
    assert time.monotonic() - asked < 2
    kept = len(fetch.events("piece"))
    again = shared.fetch(tmp_path / "out", "--json-pieces")
    again.succeed(30)
    assert len(again.events("piece")) == SIZE // PIECE - kept
    assert_same(shared.original, tmp_path / "out" / shared.original.name)
