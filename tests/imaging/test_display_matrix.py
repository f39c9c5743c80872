"""Tests of display matrices: every quarter turn, mirrored or not, and what is refused."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest

from edgeexpo.imaging.display_matrix import turned_by
from edgeexpo.imaging.raster import turned, whole_picture


def packed(a, b, c, d):
    numbers = [round(value * 65536) for value in (a, b, 0, c, d, 0, 0, 0)]
    return struct.pack("=9i", *numbers, 1 << 30)


def displayed(picture, a, b, c, d):
    """Put every pixel (p, q) at (a p + c q, b p + d q), as a player does."""
    height, width = picture.shape[:2]
    q, p = np.mgrid[0:height, 0:width]
    x, y = a * p + c * q, b * p + d * q
    x, y = x - x.min(), y - y.min()
    result = np.zeros((y.max() + 1, x.max() + 1, 3), picture.dtype)
    result[y, x] = picture
    return result


@pytest.mark.parametrize("scale", [1, 2, 0.5])
@pytest.mark.parametrize(
    "matrix",
    [
        (first, 0, 0, second) if straight else (0, first, second, 0)
        for straight, first, second in itertools.product((True, False), (1, -1), (1, -1))
    ],
)
def test_every_turn_and_mirror_is_shown_as_a_player_shows_it(matrix, scale):
    picture = np.random.default_rng(0).random((5, 7, 3), np.float32)
    rotation, mirror = turned_by(packed(*(scale * value for value in matrix)))
    shown = whole_picture(turned(picture, rotation // 90, mirror))
    np.testing.assert_array_equal(shown, displayed(picture, *matrix))


@pytest.mark.parametrize(
    "matrix",
    [(math.cos(x), math.sin(x), -math.sin(x), math.cos(x)) for x in (0.1, 0.7, 1.5, 2.2)]
    + [(1, 0, 0.2, 1), (0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 1)],
)
def test_other_angles_are_refused(matrix):
    with pytest.raises(ValueError, match="display matrix"):
        turned_by(packed(*matrix))


def test_a_short_matrix_is_refused():
    with pytest.raises(ValueError, match="has 8 bytes; expected 36"):
        turned_by(bytes(8))
