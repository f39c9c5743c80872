"""Orientation of the shots of one bracket, where their EXIF data disagree about it.

A camera that points down or up guesses its orientation anew for every shot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgeexpo.imaging.files import upright

_SIDE = 64
"""Side of the thumbnails by which pictures are compared, in pixels."""


def common_orientation(pictures: Sequence[np.ndarray], orientations: Sequence[int]) -> int | None:
    """Return the orientation that shots have in common although their EXIF data disagree.

    The sensor's pixels decide. Where they agree as they are stored better than when each is
    turned by its own orientation, the camera did not turn between the shots.

    Args:
        pictures: HxWx3 of any type, as stored.
        orientations: EXIF orientation of each picture, 1 to 8.

    Returns:
        The most frequent orientation, and of equally frequent ones the smallest. ``None`` when the
        EXIF data agree, or when the pictures do not agree as they are stored.
    """
    if len(set(orientations)) < 2 or len({picture.shape for picture in pictures}) > 1:
        return None
    turned = [upright(p, o) for p, o in zip(pictures, orientations, strict=True)]
    same_size = len({picture.shape for picture in turned}) == 1
    if same_size and _agreement(turned) >= _agreement(pictures):
        return None
    counts = Counter(orientations)
    return min(counts, key=lambda orientation: (-counts[orientation], orientation))


def _agreement(pictures: Sequence[np.ndarray]) -> float:
    """Return the smallest rank correlation of a picture with the first, -1 to 1.

    Ranks do not depend on the exposure.
    """
    first, *others = map(_ranks, pictures)
    return min(float(first @ other) for other in others)


def _ranks(picture: np.ndarray) -> np.ndarray:
    """Return the ranks of a thumbnail's luminances, with mean 0 and norm 1."""
    rows, columns = (np.linspace(0, n - 1, min(n, _SIDE)).astype(int) for n in picture.shape[:2])
    small = picture[np.ix_(rows, columns)].mean(axis=2).ravel()
    _, group, counts = np.unique(small, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[group]
    ranks = ranks - ranks.mean()
    norm = float(np.linalg.norm(ranks))
    if norm:
        ranks /= norm
    return ranks
