"""Loss of local contrast: MEF-SSIM for fusion, repeated contrast for correction.

Both are measured at full size and at three coarser sizes, and the worst size counts. Pictures are
HxWx3 float32, sRGB-encoded, [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgeexpo.evaluation.looks.planes import halved, luma_codes
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.mef_ssim import SMALLEST_MEF_SIDE, mef_ssim

SIZES = 4
"""Number of sizes: the full one, a half, a quarter and an eighth."""

SMALLEST_SIDE = 80
"""Smallest side in pixels of a coarser size. In smaller ones, few patches decide."""

BLOCK = 8
"""Side in pixels of the blocks in which repeated contrast is measured."""

SHOWN = (8.0, 247.0)
"""Codes of luma between which a frame's block shows contrast."""

TEXTURE = 3.0
"""Standard deviation of luma, in codes, from which a block has contrast and not only noise."""

FEWEST_BLOCKS = 16
"""Number of blocks below which a mean over them has no meaning."""


def kept_structure(frames: Sequence[Picture], picture: Picture) -> float | None:
    """Return the smallest :func:`edgeexpo.imaging.mef_ssim.mef_ssim` over the sizes.

    Returns:
        0 to 1, or ``None`` if a side is below 41 pixels.
    """

    if min(picture.shape[:2]) < SMALLEST_MEF_SIDE:
        return None
    return _worst(frames, picture, mef_ssim)


def kept_contrast(frame: Picture, picture: Picture) -> float | None:
    """Return how much of the frame's local contrast the picture repeats, at the worst size.

    In each block of 8x8 pixels the picture's luma is fitted by a line over the frame's luma. The
    slope times the ratio of the mean lumas is the repeated contrast. It is 1 for a gain and for
    the frame itself, and the exponent for a gamma curve. Values are clipped to [0, 1] and
    averaged. Blocks count where the frame lies within codes 8 to 247 and deviates by 3 codes.

    Returns:
        0 to 1, or ``None`` if no size has 16 such blocks.
    """
    return _worst((frame,), picture, lambda shown, made: _repeated(shown[0], made))


def _worst(
    frames: Sequence[Picture],
    picture: Picture,
    score: Callable[[Sequence[Picture], Picture], float | None],
) -> float | None:
    found = [score(shown, made) for shown, made in _sizes(frames, picture)]
    return min((value for value in found if value is not None), default=None)


def _sizes(
    frames: Sequence[Picture], picture: Picture
) -> Iterator[tuple[Sequence[Picture], Picture]]:
    for size in range(SIZES):
        if size:
            if min(picture.shape[:2]) < 2 * SMALLEST_SIDE:
                return
            frames, picture = [halved(f) for f in frames], halved(picture)
        yield frames, picture


def _repeated(frame: Picture, picture: Picture) -> float | None:
    own, made = _blocks(luma_codes(frame)), _blocks(luma_codes(picture))
    low, high = SHOWN
    counts = (own.min(axis=1) >= low) & (own.max(axis=1) <= high) & (own.std(axis=1) >= TEXTURE)
    if counts.sum() < FEWEST_BLOCKS:
        return None
    own, made = own[counts], made[counts]
    means = own.mean(axis=1), made.mean(axis=1)
    x, y = (blocks - mean[:, None] for blocks, mean in zip((own, made), means, strict=True))
    slope = (x * y).mean(axis=1) / (x * x).mean(axis=1)
    repeated = slope * means[0] / np.maximum(means[1], 1)
    return float(np.clip(repeated, 0, 1).mean())


def _blocks(plane: Picture) -> np.ndarray:
    """Return the blocks of a plane, Nx64 float64; rows and columns beyond them are left out."""
    height, width = (side // BLOCK * BLOCK for side in plane.shape)
    cells = plane[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return cells.transpose(0, 2, 1, 3).reshape(-1, BLOCK * BLOCK).astype(np.float64)
