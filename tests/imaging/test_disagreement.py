"""Tests of where two exposures disagree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeexpo.imaging.disagreement import Mapped, excess, looked_up, map_frames
from edgeexpo.imaging.mapping import codes, exposure_mapping
from edgeexpo.imaging.response import render, srgb


def identity(tolerance: float) -> Mapped:
    """Return the mapping of equal exposures."""
    line = codes()[:, None].repeat(3, axis=1)
    return Mapped(line, line - tolerance, line + tolerance)


def test_the_excess_is_counted_from_the_tolerance_in_codes():
    reference = np.full((20, 20, 3), 0.5, np.float32)
    frame = reference.copy()
    frame[..., 1] += 0.1
    found = excess(reference, frame, identity(0.04))
    assert found[..., 1] == pytest.approx(0.06 * 255, abs=1e-3)
    assert not found[..., ::2].any()


def test_a_code_nearby_explains_what_the_frame_shows():
    reference = np.zeros((20, 20, 3), np.float32)
    reference[:, 10:] = 1
    shifted = np.roll(reference, 1, axis=1)
    assert not excess(reference, shifted, identity(0.02))[:, 5:15].any()
    assert excess(reference, np.roll(reference, 7, axis=1), identity(0.02))[:, 5:15].any()


def smooth_light(seed: int) -> np.ndarray:
    """Return the linear light of a scene whose neighbours differ little, 60x80x3 in [0, 1]."""
    coarse = np.random.default_rng(seed).random((6, 8, 3)).astype(np.float32) ** 2
    return cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_LINEAR)


def test_a_sixth_of_the_pixels_that_moved_does_not_bend_the_mapping():
    light = smooth_light(0)
    other = light.copy()
    other[:20, :40] = 0.3
    reference, frame = render(light, srgb()), render(other / 4, srgb())
    found = map_frames(reference, frame)
    true = exposure_mapping(srgb(), -2.0)
    assert np.abs(found.imf - true)[20:240].max() < 12 / 255
    assert np.all(found.lower <= found.imf + 1e-9)
    assert np.all(found.upper >= found.imf - 1e-9)


@pytest.mark.parametrize(("code", "unbounded"), [(255, "upper"), (0, "lower")])
def test_clipped_and_black_codes_bound_one_side_only(code, unbounded):
    light = smooth_light(1)
    found = map_frames(render(light * 2, srgb()), render(light, srgb()))
    assert found.upper[code].min() == 1 if unbounded == "upper" else found.lower[code].max() == 0
    other = found.lower if unbounded == "upper" else found.upper
    assert 0.02 < other[code].min() <= other[code].max() < 0.98


def test_tables_are_interpolated_between_codes():
    table = np.arange(256.0) ** 2
    values = np.array([0, 10.5 / 255, 1], np.float32)
    assert looked_up(values, table) == pytest.approx([0, 110.5, 255**2], rel=1e-5)
