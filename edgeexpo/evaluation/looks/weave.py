"""Weave: a pattern that repeats at the network's stride, as from strided or transposed layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeexpo.evaluation.looks.planes import CODES, box_mean
from edgeexpo.imaging.arrays import Picture

TILE = 128
"""Height and width in pixels of the parts whose spectra are taken."""

SMALL = 4.0
"""Codes to which the details are clipped, so that a texture does not count more than a weave."""

_BESIDE = 3
"""Distance in bins to the frequencies beside a peak, just outside the window's main lobe."""

_NO_POWER = 1e-3
"""Power of details, in codes squared, below which a frame has no pattern to be scaled."""


def weave(
    frames: Sequence[Picture], picture: Picture, periods: Sequence[tuple[float, float]]
) -> float | None:
    """Return the strength of a pattern with the network's periods, in codes RMS.

    Details are the differences from a mean over two periods, clipped to 4 codes. Their spectrum is
    taken in parts of 128x128 pixels, with a Hann window. At a period, along one axis or both, the
    power counts that exceeds the mean power 3 bins beside it. The frames' own peaks, such as those
    of JPEG blocks, are subtracted, scaled by the ratio of the details' powers. The worst part and
    channel counts.

    Args:
        frames: HxWx3 float32 each, sRGB-encoded, [0, 1].
        picture: The same shape.
        periods: Vertical and horizontal period in pixels of each stride.

    Returns:
        At least 0, or ``None`` if there is no period or a side is below 128 pixels.
    """
    if not periods or min(picture.shape[:2]) < TILE:
        return None
    return float(np.sqrt(max(_excess(frames, picture, period) for period in periods)))


def _excess(frames: Sequence[Picture], picture: Picture, period: tuple[float, float]) -> float:
    """Return the largest power of one period's pattern that the frames do not have."""
    side = 2 * int(np.ceil(max(period))) + 1
    made, *shown = (_details(p, side) for p in (picture, *frames))
    worst = 0.0
    for part in _parts(picture.shape):
        own, power = _spectrum(made[part])
        peaks = _peaks(own, period)
        for details in shown:
            spectrum, theirs = _spectrum(details[part])
            peaks = peaks - _peaks(spectrum, period) * power / np.maximum(theirs, _NO_POWER)
        worst = max(worst, float(peaks.max()))
    return worst


def _details(picture: Picture, side: int) -> Picture:
    codes = picture * np.float32(CODES)
    return np.clip(codes - box_mean(codes, side), -SMALL, SMALL)


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield parts that cover the picture; the last ones overlap those before."""
    tops, lefts = (sorted({*range(0, n - TILE + 1, TILE), n - TILE}) for n in shape[:2])
    for top in tops:
        for left in lefts:
            yield slice(top, top + TILE), slice(left, left + TILE)


def _spectrum(details: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean square of a sine at each frequency, and of all details, by channel."""
    window = np.hanning(TILE + 1)[:TILE].astype(np.float32)
    windowed = details.transpose(2, 0, 1) * np.outer(window, window)
    sines = 2 * np.square(np.abs(np.fft.fft2(windowed)) / window.sum() ** 2)
    return sines, np.square(details).mean(axis=(0, 1))


def _peaks(spectrum: np.ndarray, period: tuple[float, float]) -> np.ndarray:
    """Return the power of each pattern and channel, beyond the spectrum beside its frequency.

    A frequency between two bins is taken at the nearer one. The window's lobe is wide enough.
    """
    v, u = (int(np.rint(TILE / length)) for length in period)
    return np.array([_peak(spectrum, *at) for at in ((v, 0), (0, u), (v, u), (v, -u))])


def _peak(spectrum: np.ndarray, v: int, u: int) -> np.ndarray:
    beside = [(v + s * _BESIDE, u) for s in (1, -1) if v]
    beside += [(v, u + s * _BESIDE) for s in (1, -1) if u]
    level = np.mean([spectrum[:, y % TILE, x % TILE] for y, x in beside], axis=0)
    return np.asarray(np.maximum(spectrum[:, v % TILE, u % TILE] - level, 0))
