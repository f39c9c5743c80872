"""Pictures that are read one window at a time, so that a large picture need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from edgeexpo.imaging.scratch import lent_to_helpers, planar, scope

STRIP = 1 << 18
"""Number of pixels in each strip of rows in which a whole picture is read."""

WINDOW_SIDE = 512
"""Side of windows, in pixels.

Larger windows exceed the processor's caches. In smaller windows margins dominate."""

Window = tuple[slice, slice]
"""A window as a slice of rows and a slice of columns, each with start and stop in the picture."""


class Raster(Protocol):
    """A picture, HxWxC, of which any window can be read. NumPy arrays are rasters."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and number of channels."""

    def __getitem__(self, window: Window, /) -> Any:
        """Return the window as an array of height x width x channels."""


class Computed:
    """A raster whose windows are computed on demand.

    Args:
        shape: Height, width and number of channels.
        compute: Function that writes a window's pixels into a float32 array of the window's size.
        cheap: True where a window costs about as little as a copy, so that stages that read the
            picture several times need not keep it.
        clipped: True where every number is in [0, 1].
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        compute: Callable[[Window, np.ndarray], object],
        cheap: bool = False,
        clipped: bool = False,
    ) -> None:
        self.shape = shape
        self.cheap, self.clipped = cheap, clipped
        self._compute = compute

    def __getitem__(self, window: Window, /) -> np.ndarray:
        out = planar((*sides(window), *self.shape[2:]))
        self.write(window, out)
        return out

    def write(self, window: Window, out: np.ndarray) -> None:
        """Compute the window's pixels into ``out``."""
        with scope():
            self._compute(window, out)


def write_raster(raster: Raster, window: Window, out: np.ndarray) -> None:
    """Copy or compute a window of a raster into ``out``, an array of the window's size."""
    if isinstance(raster, Computed):
        raster.write(window, out)
    else:
        with scope():
            np.copyto(out, raster[window])


def whole_picture(raster: Raster, workers: int = 1) -> np.ndarray:
    """Read a whole raster in strips of rows, on ``workers`` threads.

    Returns:
        HxWxC float32. A raster that is an array already is returned unchanged.
    """
    if isinstance(raster, np.ndarray):
        return raster
    result = planar(raster.shape)
    for_each(strips(raster.shape), lambda part: write_raster(raster, part, result[part]), workers)
    return result


def turned(raster: Raster, quarters: int, mirrored: bool = False) -> Raster:
    """Return a raster of the picture, turned clockwise by quarters, then mirrored left to right."""
    quarters %= 4
    if not quarters and not mirrored:
        return raster
    height, width = raster.shape[:2]
    shape = (width, height) if quarters % 2 else (height, width)

    def compute(window: Window, out: np.ndarray) -> None:
        rows, columns = window
        if mirrored:
            columns, out = _backwards(columns, shape[1]), out[:, ::-1]
        before = {
            0: (rows, columns),
            1: (_backwards(columns, height), rows),
            2: (_backwards(rows, height), _backwards(columns, width)),
            3: (columns, _backwards(rows, width)),
        }[quarters]
        write_raster(raster, before, np.rot90(out, quarters))

    return Computed((*shape, *raster.shape[2:]), compute)


def _backwards(span: slice, side: int) -> slice:
    return slice(side - span.stop, side - span.start)


def windows(shape: tuple[int, ...], height: int, width: int | None = None) -> Iterator[Window]:
    """Yield windows of ``height`` x ``width`` that cover a picture, row by row.

    Windows at the lower and right ends can be smaller. By default ``width`` is the picture's.
    """
    width = width or shape[1]
    for top in range(0, shape[0], height):
        for left in range(0, shape[1], width):
            yield (
                slice(top, min(top + height, shape[0])),
                slice(left, min(left + width, shape[1])),
            )


def strips(shape: tuple[int, ...]) -> Iterator[Window]:
    """Yield windows as wide as the picture, of about :data:`STRIP` pixels each."""
    return windows(shape, max(1, STRIP // max(1, shape[1])))


def for_each(parts: Iterable[Window], work: Callable[[Window], object], workers: int = 1) -> None:
    """Call ``work`` for every window on ``workers`` threads, each call in a scratch scope."""
    every = list(parts)
    waiting = iter(every)

    def carry(memory: AbstractContextManager[None]) -> None:
        with memory:
            # next() of a list's iterator is atomic, so each window goes to one thread.
            for window in waiting:
                with scope():
                    work(window)

    helping = min(workers, len(every)) - 1
    if helping < 1:
        carry(nullcontext())
        return
    with ThreadPoolExecutor(helping) as pool:
        others = [pool.submit(carry, memory) for memory in lent_to_helpers(helping)]
        carry(nullcontext())
    for other in others:
        other.result()


def grown(window: Window, margin: int, shape: tuple[int, ...], multiple: int = 1) -> Window:
    """Return the window grown by ``margin`` pixels on every side, within the picture.

    Starts are rounded down and stops are rounded up to a multiple of ``multiple``. A stop never
    exceeds the picture's side.
    """
    rows, columns = (
        slice(
            max(span.start - margin, 0) // multiple * multiple,
            min(-(-(span.stop + margin) // multiple) * multiple, side),
        )
        for span, side in zip(window, shape, strict=False)
    )
    return rows, columns


def within(window: Window, larger: Window) -> Window:
    """Return the window in coordinates of a larger window that contains it."""
    rows, columns = (
        slice(span.start - around.start, span.stop - around.start)
        for span, around in zip(window, larger, strict=True)
    )
    return rows, columns


def sides(window: Window) -> tuple[int, int]:
    """Return the height and width of a window, in pixels."""
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def reflected(raster: Raster, height: int, width: int) -> Raster:
    """Return a raster of the picture, extended to ``height`` x ``width`` by reflection.

    The reflection is that of ``numpy.pad`` with ``mode="reflect"``.
    """
    if (height, width) == raster.shape[:2]:
        return raster

    def compute(window: Window, out: np.ndarray) -> None:
        taken = [_mirror(span, side) for span, side in zip(window, raster.shape, strict=False)]
        near = tuple(slice(int(t.min()), int(t.max()) + 1) for t in taken)
        part = raster[near[0], near[1]]
        np.copyto(out, part[np.ix_(*(t - n.start for t, n in zip(taken, near, strict=True)))])

    return Computed((height, width, *raster.shape[2:]), compute)


def _mirror(span: slice, side: int) -> np.ndarray:
    """Map positions in the extended picture to positions in the picture of ``side`` pixels."""
    period = max(2 * (side - 1), 1)
    position = np.arange(span.start, span.stop) % period
    return np.where(position < side, position, period - position)
