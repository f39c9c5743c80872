"""Display matrices of video files: how a player turns and mirrors the stored pictures."""

from __future__ import annotations

import struct

MATRIX_BYTES = 36
"""Size of a display matrix as FFmpeg gives it: nine 32-bit integers."""

_SKEW = 1e-3
"""Largest share of the other axis in a matrix that counts as a quarter turn."""

_ANGLES = {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}
"""Clockwise angle by the direction that the picture's horizontal axis has on the display."""


def turned_by(matrix: bytes) -> tuple[int, bool]:
    """Return how a display matrix turns a picture (ISO/IEC 14496-12, section 6.2.2).

    Args:
        matrix: The matrix ``a b u c d v x y w`` as nine native 32-bit integers. A point (p, q)
            of the picture is displayed at (a p + c q, b p + d q), with q pointing down.

    Returns:
        The clockwise angle, 0, 90, 180 or 270, and whether the turned picture is then mirrored left
        to right: ``rotation`` and ``mirror`` of :class:`~edgeexpo.frame_format.FrameFormat`.

    Raises:
        ValueError: The matrix turns by another angle, skews, or has the wrong size.
    """
    if len(matrix) != MATRIX_BYTES:
        raise ValueError(f"its display matrix has {len(matrix)} bytes; expected {MATRIX_BYTES}")
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c
    scale = max(abs(a), abs(b), abs(c), abs(d), 1)
    axes = [value / scale for value in (a, b, c, d)]
    across, down = (round(axes[0]), round(axes[1])), (round(axes[2]), round(axes[3]))
    straight = all(
        abs(v) < _SKEW for v, kept in zip(axes, (*across, *down), strict=True) if not kept
    )
    if not straight or across not in _ANGLES or down != (-across[1], across[0]):
        raise ValueError("its display matrix turns it by no quarter turn; expected 0, 90, 180, 270")
    return _ANGLES[across], mirrored
