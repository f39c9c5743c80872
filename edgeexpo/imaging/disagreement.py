"""Where two registered exposures of one scene show different things.

The intensity mapping function (IMF) says what a frame shows wherever another frame shows the same
thing at its own exposure. It is found from pixels at which the frames agree, as in M. D. Grossberg
and S. K. Nayar, "Determining the camera response from images: what is knowable?", IEEE TPAMI
25(11), 2003. A pixel disagrees where no code near it, within the noise, explains what the other
frame shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging import opencv
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.mapping import CODES, HIGHEST, LOWEST, Lut, codes
from edgeexpo.imaging.robust_mapping import RobustMapping, robust_mapping, slopes

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

    The first estimate is that of all pixels. Later ones are those of the pixels that agree. Codes
    that none of these have keep the earlier estimate: what moved is in both histograms.

    Args:
        reference: HxWx3 float32 in [0, 1], display-encoded.
        frame: HxWx3 float32 in [0, 1], the same scene at another exposure.

    Returns:
        The IMF and its tolerance.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    first, second = softened(reference), softened(frame)
    spread = _spreads(first, second)
    mapped = _tolerated(robust_mapping(first.reshape(-1, 3), second.reshape(-1, 3)), spread)
    for _ in range(_ROUNDS):
        agreeing = _agreeing(first, second, mapped)
        if agreeing.sum() < _FEWEST:
            break
        found = robust_mapping(first[agreeing], second[agreeing], mapped.imf)
        mapped = _tolerated(found, spread)
    return mapped


def _agreeing(reference: Picture, frame: Picture, mapped: Mapped) -> Mask:
    """Return the pixels that agree by themselves: evidence must not come from their neighbours."""
    result = np.ones(frame.shape[:2], bool)
    for channel in range(3):
        values = frame[..., channel]
        result &= values >= looked_up(reference[..., channel], mapped.lower[:, channel])
        result &= values <= looked_up(reference[..., channel], mapped.upper[:, channel])
    return result


def excess(reference: Picture, frame: Picture, mapped: Mapped) -> Picture:
    """Return by how much each pixel of a frame is beyond what the reference explains.

    A clipped code of the reference explains everything from the IMF's highest value upwards, a
    black one everything from its lowest value downwards. The frame is softened against noise. The
    reference is not: a thin line is fainter after softening, and differently so at each exposure.

    Args:
        reference: HxWx3 float32 in [0, 1].
        frame: HxWx3 float32 in [0, 1], of the same size.
        mapped: The IMF from codes of ``reference`` to codes of ``frame``.

    Returns:
        HxWx3 float32, in codes. It is 0 where the frames agree.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    cv2 = opencv.load_opencv()
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1,) * 2)
    least, most = cv2.erode(reference, around), cv2.dilate(reference, around)
    soft = softened(frame)
    result = np.zeros(frame.shape, np.float32)
    for channel in range(3):
        lower = looked_up(least[..., channel], mapped.lower[:, channel])
        upper = looked_up(most[..., channel], mapped.upper[:, channel])
        beyond = np.maximum(lower - soft[..., channel], soft[..., channel] - upper)
        result[..., channel] = np.maximum(beyond, 0) * (CODES - 1)
    return result


def softened(frame: Picture) -> Picture:
    """Return a picture blurred by a Gaussian with a standard deviation of one pixel."""
    return np.asarray(opencv.load_opencv().GaussianBlur(frame, (0, 0), 1.0), np.float32)


def looked_up(values: Picture, table: Lut) -> Picture:
    """Return a table of codes at values in [0, 1], float32, interpolated linearly."""
    return np.interp(values, codes(), table).astype(np.float32)


def _tolerated(mapping: RobustMapping, spread: Lut) -> Mapped:
    """Return the codes that agree with each code of the reference."""
    imf = mapping.imf
    believed = np.minimum(spread, NOISE / (CODES - 1) * np.hypot(1, slopes(imf)))
    tolerance = SPREADS * believed + MARGIN / (CODES - 1) + mapping.uncertainty
    lower, upper = imf - tolerance, imf + tolerance
    # Beyond the codes that tell something, the last of those bounds what the frame may show.
    lower[HIGHEST:], upper[: LOWEST + 1] = lower[HIGHEST - 1], upper[LOWEST + 1]
    lower[: LOWEST + 1], upper[HIGHEST:] = 0, 1
    return Mapped(imf, lower, upper)


def _spreads(reference: Picture, frame: Picture) -> Lut:
    """Return the standard deviation of a frame at each code of the reference, (256, 3).

    It is that of a normal distribution with the same quartiles, smoothed over the codes.
    """
    first, second = (np.rint(x * (CODES - 1)).astype(np.intp) for x in (reference, frame))
    result = np.empty((CODES, 3))
    for channel in range(3):
        pairs = first[..., channel] * CODES + second[..., channel]
        joint = np.bincount(pairs.reshape(-1), minlength=CODES * CODES).reshape(CODES, CODES)
        summed = np.cumsum(joint, axis=1)
        seen = np.flatnonzero(summed[:, -1])
        low, high = (
            (summed[seen] >= np.maximum(1, share * summed[seen, -1:])).argmax(axis=1)
            for share in (0.25, 0.75)
        )
        result[:, channel] = _smooth(np.interp(np.arange(CODES), seen, (high - low) / 1.35))
    return result / (CODES - 1)


def _smooth(values: Lut) -> Lut:
    """Return the running mean of values (256,)."""
    window = 2 * _SMOOTHING + 1
    padded = np.pad(values, _SMOOTHING, mode="edge")
    return np.convolve(padded, np.full(window, 1 / window), "valid")
