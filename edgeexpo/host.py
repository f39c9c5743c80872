"""Facts about this machine: Python, operating system, processor."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from edgeexpo.processor import cpu_features, processor_name


def host() -> dict[str, Any]:
    """Return facts about Python, the operating system and the processor."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "cpu_features": list(cpu_features()),
    }


def load_average() -> float | None:
    """Return the system's load average over one minute, or ``None`` on Windows.

    The load is the number of processes that run or wait for a CPU.
    """
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
