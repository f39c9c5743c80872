"""Measurements that several benchmarks share: calls that take turns, and this process's memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def turns(
    calls: Mapping[str, Callable[[], object]],
    runs: int,
    pause: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the milliseconds of every run of each call.

    Args:
        calls: The calls by name; they take turns.
        runs: Number of runs of each call.
        pause: Seconds before each run.
        clock: Clock in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            time.sleep(pause)
            start = clock()
            call()
            times[name].append((clock() - start) * 1000)
    return times


def resident_mib() -> float:
    """Return the resident memory of this process in MiB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
