"""Memory that this process may still take."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Files of a container's limit and use, of the second and of the first version of cgroups."""


def free_memory() -> int | None:
    """Return the bytes that are free for this process, or ``None`` if the system does not tell.

    On Linux this is the memory that the kernel can give without swapping, within the limit of the
    container. On macOS it is all memory of the machine, because the system does not tell more.
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.virtual_memory().available)
    found = [value for value in (_of_linux(), _of_container()) if value is not None]
    if found:
        return min(found)
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_linux() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_container() -> int | None:
    for limit, used in _LIMITS:
        # A container without a limit says "max", or has no such file.
        with contextlib.suppress(OSError, ValueError):
            most, taken = (int((_CGROUP / name).read_text("utf-8")) for name in (limit, used))
            return max(most - taken, 0)
    return None
