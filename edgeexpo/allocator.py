"""How the process's allocator treats the large arrays that pictures are."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST, _PAD = 1 << 30, 1 << 28


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed arrays for the next ones.

    By default it hands every large array back to the kernel, which then clears the same pages again
    for each operator: a quarter of the time of interpreting a network. Elsewhere nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    for option, value in (
        (_MMAP_THRESHOLD, _LARGEST),
        (_TRIM_THRESHOLD, _LARGEST),
        (_TOP_PAD, _PAD),
    ):
        mallopt(option, value)
