"""The structure of a bracket without a network: what the frames show, with smooth weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import coffee

from edgeexpo.imaging.enlarging import enlarged, window_taps
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.structure import (
    LONGEST,
    SMALLEST,
    apply_structure,
    low_size,
    structure_maps,
)


def exposures(size=(160, 200), count=2):
    scene = coffee()[: size[0], : size[1]].astype(np.float32) / 255
    return [np.clip(scene * np.float32(gain), 0, 1) for gain in np.geomspace(0.3, 2.5, count)]


def structure(frames):
    shape = frames[0].shape
    maps = structure_maps(frames, 64)
    window = tuple(slice(0, side) for side in shape[:2])
    out = np.empty((3, *shape[:2]), np.float32)
    planes = [np.ascontiguousarray(f.transpose(2, 0, 1)) for f in frames]
    apply_structure(enlarged(maps, window_taps(window, maps.shape[1:], shape)), planes, out)
    return out.transpose(1, 2, 0)


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_the_low_band_is_bounded(height, width) -> None:
    low = low_size(height, width)
    assert max(low) <= max(LONGEST, SMALLEST)
    assert min(low) >= min(SMALLEST, height, width)
    assert low[0] <= height
    assert low[1] <= width


@pytest.mark.parametrize("count", [2, 3])
def test_it_is_near_exposure_fusion(count) -> None:
    frames = exposures(count=count)
    distance = structure(frames) - exposure_fusion(frames, sigma=0.08**0.5)
    assert np.sqrt((distance**2).mean()) < 0.04


def test_a_single_frame_is_its_own_structure() -> None:
    (frame,) = exposures(count=1)
    np.testing.assert_array_equal(structure([frame]), frame)


def test_equal_frames_come_back() -> None:
    frame = exposures()[0]
    np.testing.assert_allclose(structure([frame, frame]), frame, atol=2e-6)


def test_weights_are_one_together() -> None:
    maps = structure_maps(exposures(), 64)
    np.testing.assert_allclose(maps[:2].sum(0), 1, atol=1e-5)
