"""Halos: light or dark seams along strong edges that the frames do not have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeexpo.evaluation.looks.planes import luma_codes
from edgeexpo.imaging.arrays import Picture

EDGE = 64.0
"""Step of a frame's luma, in codes, from which an edge is strong."""

EVEN = 16.0
"""Range of a frame's luma on one side of an edge, in codes, up to which the side is even."""

REACH, GAP, FAR = 24, 4, 11
"""Extent of a profile on each side of its edge, in pixels.

A profile reaches ``REACH`` pixels. Its ``GAP`` pixels next to the edge are left out, and its
``FAR`` outermost pixels tell the level of the side.
"""

LINES = 4
"""Number of neighbouring rows or columns whose mean is one profile."""

FEWEST_PROFILES = 50
"""Number of profiles below which a percentile over them has no meaning."""

_FAINT = 16.0


def overshoot(frames: Sequence[Picture], picture: Picture) -> float | None:
    """Return the 99th percentile of overshoot along strong edges, in codes of luma.

    Profiles across edges are taken along rows and columns, each a mean over four of them. An edge
    is strong if a frame's luma steps by 64 codes over 4 pixels, and from one side to the other. It
    counts if both sides are even in every frame: a range of 16 codes from 4 to 24 pixels away from
    the edge.

    The overshoot of a side is how far the picture at 4 to 13 pixels leaves its own level at 14 to
    24 pixels, away from the other side. A frame's own overshoot, in proportion to the step, is
    subtracted.

    Args:
        frames: HxWx3 float32 each, sRGB-encoded, [0, 1].
        picture: The same shape.

    Returns:
        At least 0, or ``None`` if there are fewer than 50 such profiles.
    """
    lumas = [luma_codes(plane) for plane in (picture, *frames)]
    found = [_overshoots([p.T if turned else p for p in lumas]) for turned in (False, True)]
    values = np.concatenate(found)
    return float(np.percentile(values, 99)) if len(values) >= FEWEST_PROFILES else None


def _overshoots(lumas: Sequence[Picture]) -> np.ndarray:
    """Return the overshoot of the first luma at the profiles along its rows."""
    profiles = _profiles(lumas)
    if profiles is None:
        return np.zeros(0)
    made, *shown = profiles
    step = _step(made)
    excess = _excess(made)
    own = np.zeros_like(excess)
    for profile in shown:
        ratio = np.abs(step) / np.maximum(np.abs(_step(profile)), _FAINT)
        own = np.maximum(own, _excess(profile) * ratio[:, None])
    return np.asarray(np.maximum(excess - own, 0).max(axis=1))


def _profiles(lumas: Sequence[Picture]) -> list[np.ndarray] | None:
    """Return the profiles of each luma across the strong edges with even sides, N x 49 each."""
    height, width = lumas[0].shape
    rows, length = height // LINES, 2 * REACH + 1
    if not rows or width < length:
        return None
    lines = [p[: rows * LINES].reshape(rows, LINES, width).mean(axis=1) for p in lumas]
    views = [np.lib.stride_tricks.sliding_window_view(p, length, axis=1) for p in lines]
    steps = [np.abs(v[..., REACH + 2] - v[..., REACH - 2]) for v in views[1:]]
    at = np.nonzero(np.max(steps, axis=0) >= EDGE)
    found = [view[at].astype(np.float64) for view in views]
    even = np.all([_evenness(profile) <= EVEN for profile in found[1:]], axis=0)
    # A thin line or a point has a step on either side, and no side that is lighter.
    even &= np.max([np.abs(_step(profile)) for profile in found[1:]], axis=0) >= EDGE
    return [profile[even] for profile in found]


def _sides(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides of the profiles, each from its outer end to the gap beside the edge."""
    return profile[:, : REACH - GAP + 1], profile[:, : REACH + GAP - 1 : -1]


def _evenness(profile: np.ndarray) -> np.ndarray:
    return np.asarray(np.max([np.ptp(side, axis=1) for side in _sides(profile)], axis=0))


def _step(profile: np.ndarray) -> np.ndarray:
    left, right = (side[:, :FAR].mean(axis=1) for side in _sides(profile))
    return np.asarray(right - left)


def _excess(profile: np.ndarray) -> np.ndarray:
    """Return how far each side of the profiles leaves its level, away from the other, N x 2."""
    sign = np.sign(_step(profile))[:, None]
    excesses = []
    for side, away in zip(_sides(profile), (-sign, sign), strict=True):
        near = side[:, FAR:]
        smooth = (near[:, :-2] + near[:, 1:-1] + near[:, 2:]) / 3
        beyond = away * (smooth - side[:, :FAR].mean(axis=1, keepdims=True))
        excesses.append(np.maximum(beyond.max(axis=1), 0))
    return np.stack(excesses, axis=1)
