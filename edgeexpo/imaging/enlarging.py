"""Enlarging small maps bilinearly, one window of the large picture at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.raster import Window
from edgeexpo.imaging.resize import bilinear_taps
from edgeexpo.imaging.scratch import scope, scratch_array

Taps = tuple[npt.NDArray[np.intp], Picture]
"""Type of the two positions in a map of each pixel along an axis, (2, n), and the second's weight.
"""


class WindowTaps(NamedTuple):
    """Positions in small maps for the pixels of a window: along the rows' axis and the columns'."""

    rows: Taps
    columns: Taps


def window_taps(window: Window, small: tuple[int, ...], large: tuple[int, ...]) -> WindowTaps:
    """Return where the pixels of a window lie in small maps.

    Args:
        window: Window of the large picture.
        small: Height and width of the maps.
        large: Height and width of the picture.
    """
    down, across = (
        bilinear_taps(n_in, n_out) for n_in, n_out in zip(small[:2], large[:2], strict=True)
    )
    return WindowTaps(*(_cut(t, span) for t, span in zip((down, across), window, strict=True)))


def enlarged_rows(maps: Picture, columns: Taps) -> Picture:
    """Enlarge maps, Cxhxw, along their rows alone, to CxhxW."""
    (before, after), weight = columns
    left = scratch_array((*maps.shape[:2], len(weight)))
    with scope():
        held, right = scratch_array(maps.shape), scratch_array(left.shape)
        np.copyto(held, maps)
        held.take(before, 2, out=left, mode="clip")
        held.take(after, 2, out=right, mode="clip")
        right -= left
        right *= weight
        left += right
    return left


def enlarged(maps: Picture, taps: WindowTaps) -> Picture:
    """Enlarge maps, Cxhxw, to the window of ``taps``, CxHxW."""
    (above, below), weight = taps.rows
    lowest = int(above.min())
    upper = scratch_array((len(maps), len(weight), len(taps.columns[1])))
    with scope():
        lines = enlarged_rows(maps[:, lowest : int(below.max()) + 1], taps.columns)
        lower, here = scratch_array(upper.shape[1:]), scratch_array((2, len(weight)), np.intp)
        np.subtract(above, lowest, out=here[0])
        np.subtract(below, lowest, out=here[1])
        for line, target in zip(lines, upper, strict=True):
            line.take(here[0], 0, out=target, mode="clip")
            line.take(here[1], 0, out=lower, mode="clip")
            lower -= target
            lower *= weight[:, None]
            target += lower
    return upper


def _cut(taps: Taps, span: slice) -> Taps:
    return taps[0][:, span], taps[1][span]
