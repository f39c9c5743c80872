"""Settings of the process's memory allocator for the large arrays of pictures."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""glibc's numbers of the ``mallopt`` parameters."""

_LARGEST, _PAD = 1 << 30, 1 << 28
"""Sizes in bytes: the largest array that stays in the heap, and the growth of the heap."""


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed arrays for later arrays.

    By default glibc returns every large array to the kernel. The kernel then clears the same pages
    again for each operator, which takes a quarter of the time of interpreting a network. On other
    systems this function does nothing.
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
