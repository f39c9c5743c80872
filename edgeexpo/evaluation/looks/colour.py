"""Faults of colour: tinted greys, changed hues, false colour.

Pictures are HxWx3 float32, sRGB-encoded, [0, 1]. Colours are CIE L*a*b* (D65).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeexpo.evaluation.looks.planes import (
    CODES,
    box_mean,
    greyscale,
    largest,
    luma_codes,
    to_lab,
    to_linear,
)
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import hue_difference_2000, linear_to_srgb
from edgeexpo.imaging.fusion import exposure_fusion

WELL_EXPOSED = (16 / CODES, 239 / CODES)
"""Values between which every channel of a well-exposed place lies."""

COLOURED = 10.0
"""Chroma from which a place has a hue. Below it, noise decides the hue."""

PATCH = 5
"""Side in pixels of the patches whose hue is compared, so that noise averages out."""

FEWEST_PIXELS = 500
"""Number of pixels below which a percentile over them has no meaning."""


def tint(picture: Picture) -> float:
    """Return the 99.9th percentile of chroma in a picture that was made from grey frames."""
    lab = to_lab(picture)
    return float(np.percentile(np.hypot(lab[..., 1], lab[..., 2]), 99.9))


def hue_shift(frames: Sequence[Picture], picture: Picture) -> float | None:
    """Return the 95th percentile of the hue's part of CIEDE2000 against the frames.

    Means over patches of 5x5 pixels are compared. A frame counts at a place if all channels of the
    patch lie within codes 16 to 239 and its chroma is 10 or more. Of several such frames, the one
    with the nearest hue counts.

    Returns:
        Units of CIEDE2000, or ``None`` if fewer than 500 places have a hue.
    """
    shown = to_lab(box_mean(picture, PATCH))
    nearest = np.full(picture.shape[:2], np.inf, np.float32)
    for frame in frames:
        lab = to_lab(box_mean(frame, PATCH))
        counts = well_exposed(frame) & (np.hypot(lab[..., 1], lab[..., 2]) >= COLOURED)
        difference = np.abs(hue_difference_2000(lab, shown))
        nearest = np.where(counts, np.minimum(nearest, difference), nearest)
    known = nearest[np.isfinite(nearest)]
    return float(np.percentile(known, 95)) if known.size >= FEWEST_PIXELS else None


def well_exposed(frame: Picture) -> np.ndarray:
    """Return where all channels of a patch lie within :data:`WELL_EXPOSED`, HxW bool."""
    low, high = WELL_EXPOSED
    top = largest(frame, PATCH, PATCH).max(axis=2)
    bottom = -largest(-frame, PATCH, PATCH).max(axis=2)
    return np.asarray((bottom >= low) & (top <= high))


def false_colour(frames: Sequence[Picture], picture: Picture) -> float:
    """Return the 99.9th percentile of the deviation of colour beyond that of every frame.

    The deviation is the root of the summed variances of a* and b* over 3x3 pixels.
    """
    own = np.max([colour_deviation(frame) for frame in frames], axis=0)
    excess = np.maximum(colour_deviation(picture) - own, 0)
    return float(np.percentile(excess, 99.9))


def false_colour_of_fusion(frames: Sequence[Picture], picture: Picture) -> float:
    """Return :func:`false_colour` less that of Mertens' fusion of the same frames.

    The fusion is :func:`edgeexpo.imaging.fusion.exposure_fusion`.
    """
    return false_colour(frames, picture) - false_colour(frames, exposure_fusion(frames))


def false_colour_of_correction(frame: Picture, picture: Picture) -> float:
    """Return :func:`false_colour` against the frame and against the frame at another exposure.

    The second is the frame times the gain in linear light that gives it the picture's median luma.
    A lighter picture shows the frame's noise with more chroma, which is no fault of the network.
    """
    light, shown = (float(np.median(to_linear(greyscale(p))[..., 0])) for p in (frame, picture))
    gain = shown / max(light, 1e-4)
    exposed = linear_to_srgb(np.clip(to_linear(frame) * np.float32(gain), 0, 1))
    return false_colour([frame, np.asarray(exposed, np.float32)], picture)


def colour_deviation(picture: Picture) -> Picture:
    """Return the deviation of colour over 3x3 pixels, HxW, in units of a* and b*."""
    chroma = to_lab(picture)[..., 1:]
    mean = box_mean(chroma, 3)
    # Centring keeps the difference of two large squares exact enough in float32.
    variance = box_mean(chroma * chroma, 3) - mean * mean
    return np.asarray(np.sqrt(np.maximum(variance, 0).sum(axis=2)))


def has_colour(picture: Picture) -> bool:
    """Return true unless every pixel is within a code of grey."""
    codes = picture * np.float32(CODES)
    return bool(np.abs(codes - luma_codes(picture)[..., None]).max() > 1)
