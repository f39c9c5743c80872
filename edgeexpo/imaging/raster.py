"""Pictures read a window at a time, so that a large one never has to exist whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

STRIP = 1 << 18
"""Pixels of strips of rows, in which a picture is read that is wanted whole."""

SIDE = 512
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
        compute: Window to its pixels.
    """

    def __init__(
        self, shape: tuple[int, ...], compute: Callable[[slice, slice], np.ndarray]
    ) -> None:
        self.shape = shape
        self._compute = compute

    def __getitem__(self, window: Window, /) -> np.ndarray:
        return self._compute(*window)


def whole(raster: Raster, workers: int = 1) -> np.ndarray:
    """All of it, computed in strips of rows by as many threads; an array as it is."""
    if isinstance(raster, np.ndarray):
        return raster
    first, *others = strips(raster.shape)
    part = np.asarray(raster[first])
    if not others:
        return np.ascontiguousarray(part)
    result = np.empty(raster.shape, part.dtype)
    result[first] = part

    def compute(window: Window) -> None:
        result[window] = raster[window]

    for_each(others, compute, workers)
    return result


def turned(raster: Raster, quarters: int, mirrored: bool = False) -> Raster:
    """The picture turned clockwise by quarters, then mirrored left to right."""
    quarters %= 4
    if not quarters and not mirrored:
        return raster
    height, width = raster.shape[:2]
    sides = (width, height) if quarters % 2 else (height, width)

    def compute(rows: slice, columns: slice) -> np.ndarray:
        if mirrored:
            columns = _backwards(columns, sides[1])
        window = {
            0: (rows, columns),
            1: (_backwards(columns, height), rows),
            2: (_backwards(rows, height), _backwards(columns, width)),
            3: (columns, _backwards(rows, width)),
        }[quarters]
        part = np.rot90(raster[window], -quarters)
        return part[:, ::-1] if mirrored else part

    return Computed((*sides, *raster.shape[2:]), compute)


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
    """Do the work for every window, on as many threads as ``workers``."""
    every = list(parts)
    if min(workers, len(every)) <= 1:
        for window in every:
            work(window)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, every):
            pass


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


def reflected(raster: Raster, height: int, width: int) -> Raster:
    """The picture continued to ``height`` x ``width`` by reflection, as ``numpy.pad`` does."""
    if (height, width) == raster.shape[:2]:
        return raster

    def compute(rows: slice, columns: slice) -> np.ndarray:
        taken = [
            _mirror(span, side) for span, side in zip((rows, columns), raster.shape, strict=False)
        ]
        near = tuple(slice(int(t.min()), int(t.max()) + 1) for t in taken)
        part = raster[near[0], near[1]]
        return np.asarray(part[np.ix_(*(t - n.start for t, n in zip(taken, near, strict=True)))])

    return Computed((height, width, *raster.shape[2:]), compute)


def _mirror(span: slice, side: int) -> np.ndarray:
    """Positions in a picture of ``side`` that stand for those of its continuation."""
    period = max(2 * (side - 1), 1)
    position = np.arange(span.start, span.stop) % period
    return np.where(position < side, position, period - position)
