"""Pyramids and exposure fusion in compiled code."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.fast import fusion, pyramids
from edgeexpo.imaging.fusion import exposure_fusion, fused_by_windows
from edgeexpo.imaging.pyramids import downsample, upsample
from edgeexpo.imaging.raster import whole_picture

SIDES = [1, 2, 3, 4, 5, 8, 17]


@pytest.mark.parametrize("height", SIDES)
@pytest.mark.parametrize("width", SIDES)
def test_levels_equal_numpys(both, height, width) -> None:
    rng = np.random.default_rng(0)
    planes, share = rng.random((2, height, width), np.float32), rng.random((height, width))
    share = share.astype(np.float32)
    coarse, fast = both(lambda: downsample(planes))
    np.testing.assert_array_equal(coarse, fast)
    enlarged = upsample(coarse, (height, width))
    total, expected = rng.random((2, *planes.shape), np.float32)
    expected[...] = total
    pyramids.add_upsampled(coarse, total)
    expected += enlarged
    np.testing.assert_array_equal(total, expected)
    pyramids.add_detail(planes, coarse, share, total)
    expected += (planes - enlarged) * share
    np.testing.assert_array_equal(total, expected)


MEASURES = [
    {},
    {"floor": 1e-5},
    {"contrast": 0, "exposedness": 0},
    {"saturation": 0, "sigma": 0.05},
    {"contrast": 0.5},
]


@pytest.mark.parametrize("measures", MEASURES)
@pytest.mark.parametrize("size", [(1, 4), (2, 2), (5, 3), (33, 70)])
@pytest.mark.parametrize("count", [1, 3])
def test_fusion_is_numpys_up_to_rounding(both, measures, size, count) -> None:
    frames = np.random.default_rng(1).random((count, *size, 3), np.float32)
    reference, fast = both(lambda: exposure_fusion(list(frames), **measures))
    assert np.abs(reference - fast).max() < 2e-6


@pytest.mark.parametrize("form", ["numpy", "numba"])
@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("size", [(70, 131), (64, 200), (129, 65)])
def test_windows_show_the_whole_pictures_fusion(both, form, keeps, size) -> None:
    frames = list(np.random.default_rng(2).random((3, *size, 3), np.float32))
    index = ("numpy", "numba").index(form)
    whole = both(lambda: exposure_fusion(frames))[index]
    parts = both(lambda: whole_picture(fused_by_windows(frames, 32, 2, keeps)))[index]
    assert np.abs(whole - parts).max() < 2e-6


def test_exponential_follows_the_c_librarys() -> None:
    values = np.concatenate([-np.logspace(-8, np.log10(87), 2000), [0.0, -100.0, -1e6]])
    values = values.astype(np.float32)
    made = np.array([fusion._exponential(value) for value in values], np.float32)
    expected = np.exp(np.maximum(values, -87))
    assert np.abs(made / expected - 1).max() < 3e-7
