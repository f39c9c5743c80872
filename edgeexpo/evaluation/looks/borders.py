"""Borders: a frame of other tones around a picture, as from zero padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeexpo.evaluation.looks.planes import CODES
from edgeexpo.imaging.arrays import Picture

OUTER, INNER = 16, 32
"""Depths in pixels at which the border ends, and at which the strip ends that it is compared with.
"""

CELL = 4
"""Side in pixels of the cells of the border that are compared with the inside."""

EVEN = 2.0
"""Codes by which a frame's cell may differ from the inside, in any channel, to count as even."""

FEWEST_CELLS = 8
"""Number of even cells in a band below which a median over them has no meaning."""

SMALLEST = 4 * INNER
"""Smallest side in pixels of a picture that has an inside."""


def border_excess(frames: Sequence[Picture], picture: Picture) -> float | None:
    """Return how far the border differs from what is beside it inside, where no frame differs.

    Cells of 4x4 pixels in the outer 16 pixels are compared with the mean of the strip at depths 16
    to 32, at the same place along the border. Cells count where every frame has the same tone as
    there, within 2 codes. The value is the median difference of such cells in a band of 4 pixels.
    The worst band, side and channel counts.

    Args:
        frames: HxWx3 float32 each, sRGB-encoded, [0, 1].
        picture: The same shape.

    Returns:
        8-bit codes, at least 0. ``None`` if a side is below 128 pixels or no band has 8 such cells.
    """
    if min(picture.shape[:2]) < SMALLEST:
        return None
    return max(_differences(frames, picture), default=None)


def _differences(frames: Sequence[Picture], picture: Picture) -> Iterator[float]:
    for turns in range(4):
        made = _steps(np.rot90(picture, turns))
        shown = np.max([np.abs(_steps(np.rot90(f, turns))).max(axis=2) for f in frames], axis=0)
        for band, even in zip(made, shown <= EVEN, strict=True):
            if even.sum() >= FEWEST_CELLS:
                yield float(np.median(np.abs(band[even]), axis=0).max())


def _steps(picture: Picture) -> np.ndarray:
    """Return the cells of the upper border less the strip inside: bands x cells x 3, in codes."""
    width = picture.shape[1] // CELL * CELL
    cells = picture[:INNER, :width].reshape(INNER // CELL, CELL, width // CELL, CELL, 3)
    means = cells.mean(axis=(1, 3)) * np.float32(CODES)
    bands = OUTER // CELL
    return np.asarray(means[:bands] - means[bands:].mean(axis=0))
