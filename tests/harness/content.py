"""Content to distribute: made from a seed number, compared byte for byte."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20

# From all over Unicode, and what shells and URLs find awkward.
NAMES = ["naïve café.txt", "目录/文件.bin", "Ελληνικά.md", "🐝 swarm.log", "a&b=c #1 100%.txt"]


def fill(path: Path, size: int, seed: int = 0) -> None:
    """Writes `size` bytes that no two places of no two files share, the same on every run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = random.Random(f"{seed} {path.name}")
    with path.open("wb") as file:
        while size > 0:
            part = source.randbytes(min(size, 8 * MIB))
            size -= file.write(part)


def awkward_tree(root: Path, piece_len: int) -> None:
    """Many files: nested, empty, executable, awkwardly named.

    They fill whole pieces of `piece_len` and one byte more.
    """
    fill(root / "deep" / "deeper" / "deepest" / "file.bin", 700_001)
    for number in range(120):
        fill(root / "many" / f"{number:03}.dat", 37 * number)
    for name in NAMES:
        fill(root / "names" / name, 40_000)
    for name in ["empty", "a/empty", "zzz.empty"]:
        fill(root / name, 0)
    fill(root / "run.sh", 333)
    (root / "run.sh").chmod(0o755)
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    fill(root / "rest.bin", 64 * piece_len + 1 - total % piece_len)


def many_small_files(root: Path, count: int, size: int) -> None:
    """`count` different files of `size` bytes, a thousand to a folder."""
    source = random.Random(count)
    for number in range(count):
        folder = root / f"{number // 1000:03}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06}.bin").write_bytes(source.randbytes(size))


def digest(path: Path, *, modes: bool = False, empty: bool = True) -> dict[str, str]:
    """What is at `path`: relative name → SHA-256.

    With `modes`, also whether it is executable; without `empty`, only files that hold something.
    """
    found = {}
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if not file.is_file() or (not empty and file.stat().st_size == 0):
            continue
        hasher = hashlib.sha256()
        with file.open("rb") as opened:
            while part := opened.read(MIB):
                hasher.update(part)
        executable = modes and file.stat().st_mode & 0o100
        found[str(file.relative_to(path))] = hasher.hexdigest() + (" x" if executable else "")
    return found


def assert_same(ours: Path, theirs: Path, *, modes: bool = False, empty: bool = True) -> None:
    """Fails unless both hold the same files with the same bytes; options as for `digest`."""
    want = digest(ours, modes=modes, empty=empty)
    found = digest(theirs, modes=modes, empty=empty)
    names = want.keys() | found.keys()
    differ = sorted(name for name in names if want.get(name) != found.get(name))
    assert not differ, f"{ours} and {theirs} differ in {len(differ)} files: {differ[:5]}"
