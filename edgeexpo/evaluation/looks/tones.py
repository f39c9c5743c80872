"""Faults of tone: crushed shadows and highlights, darker from lighter, flat frames not flat.

Pictures are HxWx3 float32, sRGB-encoded, [0, 1]. Lumas are BT.709, in 8-bit codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from edgeexpo.evaluation.looks.planes import CODES, luma_codes
from edgeexpo.imaging.arrays import Picture

BLACK, WHITE = 2.0, 253.0
"""Codes of luma below and above which a pixel counts as crushed."""

SHOWN = (16.0, 239.0)
"""Codes of luma within which a frame shows a place."""


def crushed(frames: Sequence[Picture], picture: Picture) -> float:
    """Return the share of pixels that are crushed although a frame shows them, in percent.

    A pixel is crushed if its luma is below code 2 or above code 253. A frame shows it if its luma
    there lies within codes 16 and 239.
    """
    luma = luma_codes(picture)
    shown = np.zeros(luma.shape, bool)
    for frame in frames:
        own = luma_codes(frame)
        shown |= (own >= SHOWN[0]) & (own <= SHOWN[1])
    return 100 * float((((luma < BLACK) | (luma > WHITE)) & shown).mean())


def darkening(pictures: Sequence[Picture]) -> float | None:
    """Return the largest drop of the median luma from a picture to the next, in codes.

    Args:
        pictures: Pictures of one scene, the first one's frames being the darkest.

    Returns:
        At least 0, or ``None`` for fewer than two pictures.
    """
    if len(pictures) < 2:
        return None
    medians = [float(np.median(luma_codes(picture))) for picture in pictures]
    return max(0.0, *(before - after for before, after in itertools.pairwise(medians)))


def unevenness(picture: Picture) -> float:
    """Return the largest minus the smallest value of a channel, in codes; of the worst channel."""
    span = picture.max(axis=(0, 1)) - picture.min(axis=(0, 1))
    return float(span.max()) * CODES
