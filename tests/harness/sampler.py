"""Watches a network from its hub, ten times a second.

Run in the namespace of the hub: `sampler.py`. Prints one JSON line per sample: `t` (seconds of the
monotonic clock, the same in all processes), `ports` (bytes that each port has received, which is
what the host behind it has sent) and `cpu` (the first line of `/proc/stat`, in ticks).
"""

from __future__ import annotations

import json
import time

PERIOD = 0.1


def ports() -> dict[str, int]:
    """Bytes received by each port of the hub."""
    found = {}
    with open("/proc/self/net/dev") as file:
        for line in file:
            name, _, counters = line.partition(":")
            if name.strip().startswith("p"):
                found[name.strip()] = int(counters.split()[0])
    return found


def cpu() -> list[int]:
    """User, nice, system, idle, iowait, irq, softirq and steal ticks of the whole machine."""
    with open("/proc/stat") as file:
        return [int(word) for word in file.readline().split()[1:9]]


def main() -> None:
    """Samples until it is ended."""
    due = time.monotonic()
    while True:
        print(json.dumps({"t": time.monotonic(), "ports": ports(), "cpu": cpu()}), flush=True)
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
