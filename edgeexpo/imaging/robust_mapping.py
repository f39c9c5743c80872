"""The intensity mapping function (IMF) between two registered frames, although something moved.

Where pixels agree, histograms tell the IMF (M. D. Grossberg and S. K. Nayar, "Determining the
camera response from images: what is knowable?", IEEE TPAMI 25(11), 2003). Few pixels or none have
some codes: those of something that moved, above all. There the IMF is that of a camera response,
which all codes of all channels determine together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.mapping import (
    CODES,
    HIGHEST,
    LOWEST,
    Lut,
    exposure_mapping,
    histogram_mapping,
)
from edgeexpo.imaging.response import fit_response

WIDTH = 4.0
"""Standard deviation in codes of the Gaussian that carries evidence from code to code."""

FEW = 1e-4
"""Share of the pixels at a code that counts as much as what is assumed without them."""

OF_RESPONSE, OF_CHANNEL = 16.0, 6.0
"""Codes by which the IMF of the fitted response may be wrong, and that of one channel differ."""

MOST_OF_CHANNEL = 18.0
"""Codes beyond which the IMF of one channel is not believed to differ from that of all channels.

On ten real brackets the difference was 3 codes in the median and 20 at most."""


@dataclass(frozen=True)
class RobustMapping:
    """An IMF and how far it may be from the truth.

    Attributes:
        imf: (256, 3) float64 in [0, 1] that never decreases, from codes of the first frame.
        uncertainty: (256, 3) float64 in [0, 1], largest where no pixel tells.
    """

    imf: Lut
    uncertainty: Lut


def robust_mapping(
    source: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
    assumed: Lut | None = None,
) -> RobustMapping:
    """Estimate an IMF from pixels of which most show the same in both frames.

    Args:
        source: (N, 3) float32 in [0, 1], display-encoded, read as 8-bit codes.
        target: (N, 3) float32 in [0, 1], the same pixels at another exposure.
        assumed: (256, 3) float64, the IMF at codes that few pixels have. ``None`` fits a camera
            response to all of them.

    Returns:
        The IMF from codes of ``source`` to codes of ``target``.
    """
    first, second = source[None], target[None]
    assumed = _of_response(first, second) if assumed is None else assumed
    counts = _counts(source)
    measured = histogram_mapping(first, second) - assumed
    least = FEW * len(source) + 1
    around = np.stack([_spread(counts[:, c]) for c in range(3)], axis=1)
    sums = np.stack([_spread((counts * measured)[:, c]) for c in range(3)], axis=1)
    all_around, all_sums = around.sum(axis=1, keepdims=True), sums.sum(axis=1, keepdims=True)
    common = all_sums / (all_around + least)
    own = (sums - around * common) / (around + least)
    imf = assumed + common + own
    middle, most = np.median(imf, axis=1, keepdims=True), MOST_OF_CHANNEL / (CODES - 1)
    imf = np.maximum.accumulate(np.clip(np.clip(imf, middle - most, middle + most), 0, 1))
    unknown, alike = least / (all_around + least), least / (around + least)
    steep = np.clip(slopes(imf), 0.25, 2)
    uncertainty = steep * (OF_RESPONSE * unknown + OF_CHANNEL * alike) / (CODES - 1)
    return RobustMapping(imf, uncertainty)


def slopes(imf: Lut) -> Lut:
    """Return the slope of an IMF at each code, (256, 3), as the mean over some codes around."""
    slope = np.gradient(imf, 1 / (CODES - 1), axis=0)
    weight = _spread(np.ones(CODES))
    return np.stack([_spread(slope[:, c]) / weight for c in range(3)], axis=1)


def _of_response(source: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> Lut:
    """Return the IMF of the camera response that fits two frames 1xNx3 best."""
    if source.mean() <= target.mean():
        table, ev = fit_response(source, target, None)
    else:
        table, ev = fit_response(target, source, None)
        ev = -ev
    return exposure_mapping(table, ev)


def _counts(pixels: npt.NDArray[np.float32]) -> Lut:
    """Return the number of pixels at each code that tells something, (256, 3)."""
    codes = np.rint(pixels * (CODES - 1)).astype(np.intp)
    counts = np.stack([np.bincount(codes[:, c], minlength=CODES) for c in range(3)], axis=1)
    counts[:LOWEST] = counts[HIGHEST:] = 0
    return counts.astype(np.float64)


def _spread(values: Lut) -> Lut:
    """Return the sum of values (256,) around each code, weighted by a Gaussian of height 1."""
    reach = round(4 * WIDTH)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / WIDTH) ** 2)
    return np.convolve(values, kernel, "same")
