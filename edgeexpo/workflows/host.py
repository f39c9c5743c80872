"""Facts about this machine: Python, operating system, processor."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeexpo.parity.provenance import processor

CPU_FEATURES = ("avx2", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""Names of CPU features in ``/proc/cpuinfo``.

The last two are ARM's dot product and INT8 matrix multiplication.
"""


def host() -> dict[str, Any]:
    """Return facts about Python, the operating system and the processor."""
    flags = set[str]()
    for key, value in _cpuinfo():
        if key in ("flags", "Features"):
            flags |= set(value.split())
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "cpu_features": [f for f in CPU_FEATURES if f in flags],
    }


def load_average() -> float | None:
    """Return the system's load average over one minute, or ``None`` on Windows.

    The load is the number of processes that run or wait for a CPU.
    """
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cpuinfo() -> Iterator[tuple[str, str]]:
    path = Path("/proc/cpuinfo")
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()
