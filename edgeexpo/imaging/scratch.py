"""Reusable memory for arrays that live no longer than one frame.

A :class:`Scratch` is a stack. :func:`scratch_array` takes an array from its top. The end of a
:func:`scope` releases all arrays that were taken inside the scope. So an array must not be used
after the end of its scope.

When a thread has no scratch (:meth:`Scratch.lent`), arrays are NumPy's own and scopes do nothing.
So the same code serves a single call and a camera, where new memory for every frame is too slow.
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
"""Size of NumPy's buffers as a number of elements, 1 KiB of the largest element type.

NumPy 2.3 copies arrays that are not contiguous through buffers of 8192 elements, and every call
allocates them anew. When the buffers are small, NumPy reads arrays in place, which is also
faster."""


class Scratch:
    """A stack of memory for one thread at a time, with a further stack for each helper thread."""

    def __init__(self) -> None:
        self._slabs: list[np.ndarray] = []
        self._slab = self._offset = 0
        self._below = 0
        self._most = 0
        self._helpers: list[Scratch] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Lend this memory to the arrays of the current thread, until the context ends."""
        before, buffer = _local.scratch, np.setbufsize(_BUFFER)
        _local.scratch = self
        try:
            yield
        finally:
            _local.scratch = before
            np.setbufsize(buffer)

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
        """Return an uninitialised array that is valid until the end of the current scope."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not self._slabs or self._offset + size > self._slabs[self._slab].nbytes:
            self._next_slab(size)
        array: np.ndarray = np.ndarray(shape, dtype, self._slabs[self._slab], self._offset)
        self._offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        return array

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Release all arrays that were taken inside the context when it ends."""
        top = (self._slab, self._offset, self._below)
        try:
            yield
        finally:
            self.release(top)

    def release(self, top: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Release all memory above ``top``: the slab, the offset in it and the bytes below it."""
        self._most = max(self._most, self._below + self._offset)
        self._slab, self._offset, self._below = top

    def clear(self) -> None:
        """Release everything, and keep one slab that holds the most memory needed so far."""
        self.release()
        if len(self._slabs) != 1 or self._slabs[0].nbytes > 2 * max(self._most, _SMALLEST):
            self._slabs = []
            self._slabs = [_slab(self._most)]
        self._most = 0
        for helper in self._helpers:
            helper.clear()

    def helper(self, index: int) -> Scratch:
        """Return the scratch of the helper thread with this index."""
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
    """Return an uninitialised array, from the current thread's scratch when it has one."""
    scratch = _local.scratch
    return np.empty(shape, dtype) if scratch is None else scratch.empty(shape, dtype)


def planar(shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Return an uninitialised HxWxC array that is stored as planes in memory.

    NumPy is slow on an innermost axis of three.
    """
    height, width, channels = shape
    return scratch_array((channels, height, width), dtype).transpose(1, 2, 0)


def planes(picture: np.ndarray) -> np.ndarray:
    """Return the CxHxW view of an HxWxC picture."""
    return picture.transpose(2, 0, 1)


def row_planes(picture: np.ndarray) -> np.ndarray:
    """Return CxHxW float32 planes with contiguous rows of an HxWxC picture.

    The planes are a view when the picture is stored so already, and a copy otherwise.
    """
    view = planes(picture)
    if view.dtype == np.float32 and view.strides[-1] == view.itemsize:
        return view
    result = scratch_array(view.shape)
    copy_planes(picture, result.transpose(1, 2, 0))
    return result


def copy_planes(picture: np.ndarray, out: np.ndarray) -> None:
    """Copy an HxWxC picture plane by plane, cast without a check.

    This is fast when only one of the two arrays is stored as planes.
    """
    for source, target in zip(planes(picture), planes(out), strict=True):
        np.copyto(target, source, casting="unsafe")


def clip_planes(picture: np.ndarray) -> None:
    """Clip an HxWxC picture to [0, 1] in place."""
    for plane in planes(picture):
        np.clip(plane, 0, 1, out=plane)


def interp(x: np.ndarray, xp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Compute ``numpy.interp`` of float64 vectors into a scratch array.

    ``numpy.interp`` has no ``out``, so it is called on small pieces.
    """
    out = scratch_array(x.shape, np.float64)
    for part in _pieces(len(x)):
        out[part] = np.interp(x[part], xp, fp)
    return out


def kept(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the values of a vector at which the mask is true, copied in small pieces."""
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
    """Return a context whose end releases the arrays that were taken inside it.

    When the current thread has no scratch, the context does nothing.
    """
    scratch = _local.scratch
    return contextlib.nullcontext() if scratch is None else scratch.scope()


def lent_to_helpers(count: int) -> list[contextlib.AbstractContextManager[None]]:
    """Return a context for each of ``count`` helper threads that lends it memory of its own.

    When the current thread has no scratch, the contexts do nothing.
    """
    scratch = _local.scratch
    if scratch is None:
        return [contextlib.nullcontext() for _ in range(count)]
    return [scratch.helper(index).lent() for index in range(count)]


def _slab(size: int) -> np.ndarray:
    raw = np.empty(max(size, _SMALLEST) + _ALIGNMENT, np.uint8)
    first = -int(raw.__array_interface__["data"][0]) % _ALIGNMENT
    return raw[first : len(raw) - _ALIGNMENT + first]
