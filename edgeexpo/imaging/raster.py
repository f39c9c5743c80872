"""Pictures read a window at a time, so that a large one never has to exist whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from edgeexpo.imaging.scratch import lent_to_helpers, planar, scope

STRIP = 1 << 18
"""Pixels of strips of rows, in which a picture is read that is wanted whole."""

WINDOW_SIDE = 512
"""Of windows, in pixels: larger ones leave the processor's caches, smaller ones are mostly
surroundings."""

Window = tuple[slice, slice]
"""Rows and columns, each with a start and a stop inside the picture."""


class Raster(Protocol):
    """A picture that gives any window of itself; arrays are rasters."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""

    def __getitem__(self, window: Window, /) -> Any:
        """The window, an array of its height, width and the picture's channels."""


class Computed:
    """A raster whose windows are computed when they are asked for.

    Args:
        shape: Height, width and channels.
        compute: Writes a window's pixels into an array of its size, float32.
    """

    def __init__(
        self, shape: tuple[int, ...], compute: Callable[[Window, np.ndarray], object]
    ) -> None:
        self.shape = shape
        self._compute = compute

    def __getitem__(self, window: Window, /) -> np.ndarray:
        out = planar((*sides(window), *self.shape[2:]))
        self.write(window, out)
        return out

    def write(self, window: Window, out: np.ndarray) -> None:
        """The window's pixels into ``out``."""
        with scope():
            self._compute(window, out)


def write_raster(raster: Raster, window: Window, out: np.ndarray) -> None:
    """A window of a raster into ``out``."""
    if isinstance(raster, Computed):
        raster.write(window, out)
    else:
        with scope():
            np.copyto(out, raster[window])


def whole_picture(raster: Raster, workers: int = 1) -> np.ndarray:
    """All of it, float32, computed in strips of rows by as many threads; an array as it is."""
    if isinstance(raster, np.ndarray):
        return raster
    result = planar(raster.shape)
    for_each(strips(raster.shape), lambda part: write_raster(raster, part, result[part]), workers)
    return result


def turned(raster: Raster, quarters: int, mirrored: bool = False) -> Raster:
    """The picture turned clockwise by quarters, then mirrored left to right."""
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
    """Windows of ``height`` x ``width`` (or the picture's) and less at its ends, row by row."""
    width = width or shape[1]
    for top in range(0, shape[0], height):
        for left in range(0, shape[1], width):
            yield (
                slice(top, min(top + height, shape[0])),
                slice(left, min(left + width, shape[1])),
            )


def strips(shape: tuple[int, ...]) -> Iterator[Window]:
    """Windows as wide as the picture, of about :data:`STRIP` pixels."""
    return windows(shape, max(1, STRIP // max(1, shape[1])))


def for_each(parts: Iterable[Window], work: Callable[[Window], object], workers: int = 1) -> None:
    """Do the work for every window, each in a scope, on as many threads as ``workers``."""
    every = list(parts)
    waiting = iter(every)

    def carry(memory: AbstractContextManager[None]) -> None:
        with memory:
            for window in waiting:  # each window goes to one thread: next() of a list's is atomic
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
    """The window with ``margin`` more on every side, inside the picture, starts on ``multiple``."""
    rows, columns = (
        slice(
            max(span.start - margin, 0) // multiple * multiple,
            min(-(-(span.stop + margin) // multiple) * multiple, side),
        )
        for span, side in zip(window, shape, strict=False)
    )
    return rows, columns


def within(window: Window, larger: Window) -> Window:
    """Where the window lies inside a larger one that was read."""
    rows, columns = (
        slice(span.start - around.start, span.stop - around.start)
        for span, around in zip(window, larger, strict=True)
    )
    return rows, columns


def sides(window: Window) -> tuple[int, int]:
    """Height and width of a window."""
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def reflected(raster: Raster, height: int, width: int) -> Raster:
    """The picture continued to ``height`` x ``width`` by reflection, as ``numpy.pad`` does."""
    if (height, width) == raster.shape[:2]:
        return raster

    def compute(window: Window, out: np.ndarray) -> None:
        taken = [_mirror(span, side) for span, side in zip(window, raster.shape, strict=False)]
        near = tuple(slice(int(t.min()), int(t.max()) + 1) for t in taken)
        part = raster[near[0], near[1]]
        np.copyto(out, part[np.ix_(*(t - n.start for t, n in zip(taken, near, strict=True)))])

    return Computed((height, width, *raster.shape[2:]), compute)


def _mirror(span: slice, side: int) -> np.ndarray:
    """Positions in a picture of ``side`` that stand for those of its continuation."""
    period = max(2 * (side - 1), 1)
    position = np.arange(span.start, span.stop) % period
    return np.where(position < side, position, period - position)
