"""Memory for arrays that live no longer than a frame: taken once, and used again by the next.

A :class:`Scratch` is a stack. :func:`scratch_array` takes an array from its top, and the end of a
:func:`scope` gives back all that was taken inside; so an array must not be used beyond the scope
in which it was made. Where a thread has no scratch (:meth:`Scratch.lent`), arrays are NumPy's own
and scopes do nothing: the same code serves a camera, which cannot pay for new memory with every
frame, and a single call.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

_ALIGNMENT = 64
_SMALLEST = 1 << 16
_BUFFER = 128
"""Numbers in NumPy's buffers: 1 KiB of the largest kind.

NumPy 2.3 copies what is not contiguous through buffers, 8192 numbers each, which every call takes
anew; it reads arrays in place when they are small, which is also faster."""


class Scratch:
    """A stack of memory for one thread at a time, and more of them for those that help it."""

    def __init__(self) -> None:
        self._slabs: list[np.ndarray] = []
        self._slab = self._offset = 0
        self._below = 0
        self._most = 0
        self._helpers: list[Scratch] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """The memory of this thread's arrays, until the end."""
        before, buffer = _local.scratch, np.setbufsize(_BUFFER)
        _local.scratch = self
        try:
            yield
        finally:
            _local.scratch = before
            np.setbufsize(buffer)

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
        """An array of any values, valid until the scope in which it is taken ends."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not self._slabs or self._offset + size > self._slabs[self._slab].nbytes:
            self._next_slab(size)
        array: np.ndarray = np.ndarray(shape, dtype, self._slabs[self._slab], self._offset)
        self._offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        return array

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Give back, at the end, what is taken inside."""
        top = (self._slab, self._offset, self._below)
        try:
            yield
        finally:
            self.release(top)

    def release(self, top: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Give back what lies above ``top``."""
        self._most = max(self._most, self._below + self._offset)
        self._slab, self._offset, self._below = top

    def clear(self) -> None:
        """Give back everything, and keep one piece of memory, of the size that was needed."""
        self.release()
        if len(self._slabs) != 1 or self._slabs[0].nbytes > 2 * max(self._most, _SMALLEST):
            self._slabs = []
            self._slabs = [_slab(self._most)]
        self._most = 0
        for helper in self._helpers:
            helper.clear()

    def helper(self, index: int) -> Scratch:
        """The scratch of a thread that helps."""
        while len(self._helpers) <= index:
            self._helpers.append(Scratch())
        return self._helpers[index]

    def _next_slab(self, size: int) -> None:
        following = self._slab + 1 if self._slabs else 0
        if following == len(self._slabs) or self._slabs[following].nbytes < size:
            del self._slabs[following:]
            self._slabs.append(_slab(size))
        self._below += self._offset
        self._slab, self._offset = following, 0


class _OfThread(threading.local):
    scratch: Scratch | None = None


_local = _OfThread()


def scratch_array(shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """An array of any values, from this thread's scratch where it has one."""
    scratch = _local.scratch
    return np.empty(shape, dtype) if scratch is None else scratch.empty(shape, dtype)


def planar(shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """As :func:`scratch_array`, HxWxC, in memory as planes: NumPy is slow on an innermost axis of
    three."""
    height, width, channels = shape
    return scratch_array((channels, height, width), dtype).transpose(1, 2, 0)


def planes(picture: np.ndarray) -> np.ndarray:
    """CxHxW view of a HxWxC picture."""
    return picture.transpose(2, 0, 1)


def row_planes(picture: np.ndarray) -> np.ndarray:
    """CxHxW, float32, of a HxWxC picture, its rows contiguous: a view if its memory is so."""
    view = planes(picture)
    if view.dtype == np.float32 and view.strides[-1] == view.itemsize:
        return view
    result = scratch_array(view.shape)
    copy_planes(picture, result.transpose(1, 2, 0))
    return result


def copy_planes(picture: np.ndarray, out: np.ndarray) -> None:
    """Copy a HxWxC picture plane by plane, cast without a check: fast where only one is planar."""
    for source, target in zip(planes(picture), planes(out), strict=True):
        np.copyto(target, source, casting="unsafe")


def clip_planes(picture: np.ndarray) -> None:
    """Clip a HxWxC picture to [0, 1] in place."""
    for plane in planes(picture):
        np.clip(plane, 0, 1, out=plane)


def interp(x: np.ndarray, xp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """``numpy.interp`` of float64 vectors; it has no ``out``, so its results are small pieces."""
    out = scratch_array(x.shape, np.float64)
    for part in _pieces(len(x)):
        out[part] = np.interp(x[part], xp, fp)
    return out


def kept(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Those of a vector's values at which the mask is true, also in pieces."""
    out = scratch_array((int(np.count_nonzero(mask)),), values.dtype)
    start = 0
    for part in _pieces(len(values)):
        chosen = values[part][mask[part]]
        out[start : start + len(chosen)] = chosen
        start += len(chosen)
    return out


def _pieces(length: int) -> list[slice]:
    return [slice(start, start + _BUFFER) for start in range(0, length, _BUFFER)]


def scope() -> contextlib.AbstractContextManager[None]:
    """At its end, arrays taken inside go back to this thread's scratch where it has one."""
    scratch = _local.scratch
    return contextlib.nullcontext() if scratch is None else scratch.scope()


def lent_to_helpers(count: int) -> list[contextlib.AbstractContextManager[None]]:
    """For each thread that helps this one: what to enter for memory of its own."""
    scratch = _local.scratch
    if scratch is None:
        return [contextlib.nullcontext() for _ in range(count)]
    return [scratch.helper(index).lent() for index in range(count)]


def _slab(size: int) -> np.ndarray:
    raw = np.empty(max(size, _SMALLEST) + _ALIGNMENT, np.uint8)
    first = -int(raw.__array_interface__["data"][0]) % _ALIGNMENT
    return raw[first : len(raw) - _ALIGNMENT + first]
