"""Draws the progress of fetchers from their `--json` events until all are complete, then says who
gave what to whom. Run: `demo-view.py UPLINK SEED.json FETCH.json…`; the uplink is in MiB/s."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

WIDTH = 30
MIB = 1 << 20
Event = dict[str, Any]


def events(path: Path) -> list[Event]:
    """Every whole line printed so far."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def last(found: list[Event], kind: str) -> Event | None:
    """The latest event of a kind."""
    return next((event for event in reversed(found) if event["event"] == kind), None)


def bar(name: str, found: list[Event]) -> str:
    """One fetcher's line."""
    start, progress = last(found, "start"), last(found, "progress")
    if last(found, "complete"):
        return f" {name} {'━' * WIDTH} 100%  complete"
    if not start or not progress:
        return f" {name} {'─' * WIDTH}   0%"
    share = progress["done"] / start["size"]
    full = int(share * WIDTH)
    rates = f"↓{progress['down'] / MIB:.0f} ↑{progress['up'] / MIB:.0f} MiB/s"
    drawn = "━" * full + "─" * (WIDTH - full)
    return f" {name} {drawn} {share:4.0%}  {rates}  {progress['peers']} peers"


def draw(paths: list[Path]) -> None:
    """Redraws on a terminal four times a second; elsewhere prints a block a second."""
    live = sys.stdout.isatty()
    while True:
        found = [events(path) for path in paths]
        clear = "\033[K" if live else ""
        for path, own in zip(paths, found):
            print(bar(path.stem, own) + clear)
        sys.stdout.flush()
        if any(last(own, "error") for own in found):
            sys.exit("a fetcher failed")
        if all(last(own, "complete") for own in found):
            return
        time.sleep(0.25 if live else 1)
        print(f"\033[{len(paths)}A" if live else "", end="" if live else "\n")


def account(uplink: int, seed: Path, paths: list[Path]) -> None:
    """Where each fetcher's bytes came from, by the address of the sender."""
    start = last(events(seed), "start") or {}
    alone = len(paths) * start["size"] / MIB / uplink
    for path in paths:
        found = events(path)
        given: dict[bool, int] = {True: 0, False: 0}
        for event in found:
            for sender, count in event["from"].items() if event["event"] == "piece" else ():
                given[sender.endswith(f":{start['port']}")] += count
        total = max(1, sum(given.values()))
        seconds = (last(found, "complete") or {})["seconds"]
        print(
            f" {path.stem}: {total / MIB:.0f} MiB in {seconds:.1f} s, "
            f"{given[True] / total:.0%} from the seed, {given[False] / total:.0%} from the others"
        )
    print(f" The seed alone would need {alone:.0f} s for {len(paths)} copies at that uplink.")


if __name__ == "__main__":
    fetchers = [Path(name) for name in sys.argv[3:]]
    draw(fetchers)
    print()
    account(int(sys.argv[1]), Path(sys.argv[2]), fetchers)
