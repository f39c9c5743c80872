"""Arrays in memory that two processes share: one process writes them, the other reads in place.

The memory has no name and no file. It is freed when both processes have ended, in whatever way.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeexpo.runtime.engines.base import Arrays

Layout = Sequence[tuple[str, Sequence[int]]]
"""Name and shape of each array, in their order in the memory."""

_ALIGNMENT = 64
"""Alignment of each array's start, in bytes."""


class SharedArrays:
    """Float32 arrays by name, in shared memory that grows with them.

    Args:
        descriptor: Descriptor of the memory that another process made; ``None`` makes new memory.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _anonymous() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def write(self, arrays: Arrays) -> Layout:
        """Copy arrays into the memory and return their layout; earlier arrays are overwritten."""
        layout = [(name, array.shape) for name, array in arrays.items()]
        if (size := _size(layout)) > os.fstat(self.descriptor).st_size:
            os.ftruncate(self.descriptor, size)
        for name, view in self.views(layout).items():
            view[...] = arrays[name]
        return layout

    def views(self, layout: Layout) -> dict[str, np.ndarray]:
        """Return the arrays as views into the memory, which are valid until the next :meth:`write`.

        Raises:
            ValueError: The memory is smaller than ``layout`` says.
        """
        size = _size(layout)
        if size and (self._map is None or len(self._map) < size):
            # mmap raises ValueError beyond the memory's end. The old map is freed with the last
            # view into it.
            self._map = mmap.mmap(self.descriptor, size)
        views, at = {}, 0
        for name, shape in layout:
            if count := math.prod(shape):
                view = np.frombuffer(self._map or b"", np.float32, count, at)
                views[name] = view.reshape(shape)
            else:
                views[name] = np.empty(shape, np.float32)
            at += _padded(count)
        return views

    def close(self) -> None:
        """Free the memory; the other process keeps its own mapping."""
        self._map = None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def checked_layout(value: Any) -> Layout:
    """Return ``value``, which came as JSON from another process, if it is a layout.

    Raises:
        ValueError: ``value`` is not a layout.
    """
    rows: list[Any] = value if isinstance(value, list) else [value]
    if not all(
        isinstance(row, list)
        and len(row) == 2
        and isinstance(row[0], str)
        and isinstance(row[1], list)
        and all(type(side) is int and side >= 0 for side in row[1])
        for row in rows
    ):
        raise ValueError("no layout")
    return [(name, tuple(shape)) for name, shape in rows]


def _size(layout: Layout) -> int:
    return sum(_padded(math.prod(shape)) for _, shape in layout)


def _padded(count: int) -> int:
    """Return the bytes that ``count`` numbers take, up to the start of the next array."""
    return -(-4 * count // _ALIGNMENT) * _ALIGNMENT


def _anonymous() -> int:
    """Return a descriptor of new memory.

    Where the system allows it, the memory is sealed against shrinking under a reader.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edgeexpo", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return descriptor
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
