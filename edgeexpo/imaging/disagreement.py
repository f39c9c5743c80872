"""Where two registered exposures of one scene show different things.

The intensity mapping function (IMF) says what a frame shows wherever another frame shows the same
thing at its own exposure. It is found from pixels at which the frames agree, as in M. D. Grossberg
and S. K. Nayar, "Determining the camera response from images: what is knowable?", IEEE TPAMI 25(11),
2003. A pixel disagrees where no code near it, within the noise, explains what the other frame shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging import opencv
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.mapping import CODES, HIGHEST, LOWEST, Lut, codes, histogram_mapping

Mask = npt.NDArray[np.bool_]
"""HxW bool."""

REACH = 3
"""Distance in pixels within which a code may explain what the other frame shows.

Frames that are registered to within a pixel, and JPEG, disagree that far from edges."""

MARGIN = 6.0
"""Codes by which frames may differ from the IMF beyond the noise, since no IMF is exact."""

SPREADS = 4.0
"""Standard deviations of the noise within which frames agree."""

NOISE = 2.0
"""Largest standard deviation of the noise of a frame that is believed, in codes.

The measured spread is larger at codes of something that moves."""

_ROUNDS = 3
"""Rounds in which the IMF is found anew from the pixels that agree."""

_SMOOTHING = 8
"""Codes on either side over which the spread is smoothed."""

_FEWEST = 256
"""Fewest agreeing pixels from which the IMF is found anew."""


@dataclass(frozen=True)
class Mapped:
    """What a frame shows where it agrees with the reference.

    Attributes:
        imf: (256, 3) float64 in [0, 1], from codes of the reference to codes of the frame.
        lower: (256, 3) float64, the least code that agrees with each code of the reference.
        upper: (256, 3) float64, the largest such code.
    """

    imf: Lut
    lower: Lut
    upper: Lut


def map_frames(reference: Picture, frame: Picture) -> Mapped:
    """Find the IMF between two registered frames although something may have moved.

    The first estimate is the median of the frame at each code of the reference, which up to half of
    the pixels at a code may contradict. Later ones match the histograms of the pixels that agree,
    because noise in the reference flattens a median.

    Args:
        reference: HxWx3 float32 in [0, 1], display-encoded.
        frame: HxWx3 float32 in [0, 1], the same scene at another exposure.

    Returns:
        The IMF and its tolerance.
    """
    medians, spread = _conditional(reference, frame)
    imf = medians
    for _ in range(_ROUNDS):
        agreeing = excess(reference, frame, _tolerated(imf, spread)) <= 0
        if agreeing.sum() < _FEWEST:
            break
        imf = histogram_mapping(reference[agreeing][None], frame[agreeing][None])
        imf = _told(imf, reference[agreeing])
    return _tolerated(imf, spread)


def excess(reference: Picture, frame: Picture, mapped: Mapped) -> Picture:
    """Return by how much each pixel of a frame is beyond what the reference explains.

    A clipped code of the reference explains everything from the IMF's highest value upwards, a black
    one everything from its lowest value downwards.

    Args:
        reference: HxWx3 float32 in [0, 1].
        frame: HxWx3 float32 in [0, 1], of the same size.
        mapped: The IMF from codes of ``reference`` to codes of ``frame``.

    Returns:
        HxW float32, the largest over the channels, in codes. It is 0 where the frames agree.
    """
    cv2 = opencv.load_opencv()
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1,) * 2)
    least, most = cv2.erode(reference, around), cv2.dilate(reference, around)
    result = np.zeros(frame.shape[:2], np.float32)
    for channel in range(3):
        lower = looked_up(least[..., channel], mapped.lower[:, channel])
        upper = looked_up(most[..., channel], mapped.upper[:, channel])
        np.maximum(result, lower - frame[..., channel], out=result)
        np.maximum(result, frame[..., channel] - upper, out=result)
    return result * np.float32(CODES - 1)


def looked_up(values: Picture, table: Lut) -> Picture:
    """Return a table of codes at values in [0, 1], float32, interpolated linearly."""
    return np.interp(values, codes(), table).astype(np.float32)


def _tolerated(imf: Lut, spread: Lut) -> Mapped:
    """Return the codes that agree with each code of the reference."""
    slope = np.gradient(imf, 1 / (CODES - 1), axis=0)
    slope = np.stack([_smooth(slope[:, c]) for c in range(3)], axis=1)
    believed = np.minimum(spread, NOISE / (CODES - 1) * np.hypot(1, slope))
    tolerance = SPREADS * believed + MARGIN / (CODES - 1)
    lower, upper = imf - tolerance, imf + tolerance
    lower[: LOWEST + 1], upper[HIGHEST:] = 0, 1
    # Beyond the codes that tell something, the last of those bounds what the frame may show.
    lower[HIGHEST:], upper[: LOWEST + 1] = lower[HIGHEST - 1], upper[LOWEST + 1]
    return Mapped(imf, lower, upper)


def _conditional(reference: Picture, frame: Picture) -> tuple[Lut, Lut]:
    """Return the median of a frame at each code of the reference, and its spread, (256, 3) each."""
    first, second = (np.rint(x * (CODES - 1)).astype(np.intp) for x in (reference, frame))
    medians, spreads = np.empty((2, CODES, 3))
    for channel in range(3):
        pairs = first[..., channel] * CODES + second[..., channel]
        joint = np.bincount(pairs.reshape(-1), minlength=CODES * CODES).reshape(CODES, CODES)
        summed = np.cumsum(joint, axis=1)
        count = summed[:, -1]
        seen = np.flatnonzero(count)
        low, middle, high = (
            (summed[seen] >= np.maximum(1, share * count[seen, None])).argmax(axis=1)
            for share in (0.25, 0.5, 0.75)
        )
        rising = _isotonic(middle.astype(np.float64), count[seen].astype(np.float64))
        medians[:, channel] = np.interp(np.arange(CODES), seen, rising)
        half = np.interp(np.arange(CODES), seen, (high - low) / 1.35)
        spreads[:, channel] = _smooth(half)
    return medians / (CODES - 1), spreads / (CODES - 1)


def _told(imf: Lut, pixels: npt.NDArray[np.float32]) -> Lut:
    """Return an IMF whose values outside of the codes that pixels have are those of the nearest."""
    result = imf.copy()
    for channel in range(3):
        seen = np.rint(pixels[:, channel] * (CODES - 1)).astype(np.intp)
        inside = seen[(seen >= LOWEST) & (seen <= HIGHEST)]
        if inside.size:
            result[: inside.min(), channel] = np.minimum(
                result[: inside.min(), channel], result[inside.min(), channel]
            )
    return result


def _isotonic(values: Lut, weights: Lut) -> Lut:
    """Return the values (N,) that never decrease and are nearest to ``values`` by weighted squares.

    Neighbours that decrease are pooled (R. E. Barlow et al., "Statistical inference under order
    restrictions", 1972).
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            before, total = pools.pop(), pool[1]
            weight_of_both = before[1] + total
            mean = (before[0] * before[1] + pool[0] * total) / weight_of_both
            pool = (mean, weight_of_both, before[2] + pool[2])
        pools.append(pool)
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def _smooth(values: Lut) -> Lut:
    """Return the running mean of values (256,)."""
    window = 2 * _SMOOTHING + 1
    padded = np.pad(values, _SMOOTHING, mode="edge")
    return np.convolve(padded, np.full(window, 1 / window), "valid")
