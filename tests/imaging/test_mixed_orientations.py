"""Tests of the orientation of shots whose EXIF data disagree."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.files import upright
from edgeexpo.imaging.mixed_orientations import common_orientation

INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def scene(height=60, width=60):
    rows, columns = np.mgrid[:height, :width] / 60
    return np.dstack([rows, columns**2, rows * columns])


def shots(codes):
    return [np.rint(codes * gain * 255).astype(np.uint8) for gain in (0.25, 0.5, 1.0)]


@pytest.mark.parametrize("side", [40, 60])
@pytest.mark.parametrize("odd", range(2, 9))
def test_a_camera_that_did_not_turn_gives_one_orientation(odd, side):
    pictures = shots(scene(60, side))
    assert common_orientation(pictures, [1, odd, 1]) == 1
    assert common_orientation(pictures, [odd, 1, odd]) == odd
    assert common_orientation(pictures[:2], [odd, 1]) == 1


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_camera_that_turned_leaves_every_shot_its_own(turn):
    first, second, third = shots(scene())
    pictures = [first, upright(second, INVERSE[turn]), third]
    assert common_orientation(pictures, [1, turn, 1]) is None


def test_shots_that_agree_or_differ_in_size_are_left_alone():
    assert common_orientation(shots(scene()), [6, 6, 6]) is None
    assert common_orientation([scene(40, 60), scene(60, 40)], [1, 6]) is None
