"""Tests of the filters that looks share, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from edgeexpo.evaluation.looks.planes import box_mean, greyscale, halved, largest, luma_codes


@pytest.fixture
def plane() -> np.ndarray:
    return np.random.default_rng(0).random((37, 52)).astype(np.float32)


@pytest.mark.parametrize("side", [3, 5, 17])
def test_means_are_scipys_with_replicated_borders(plane: np.ndarray, side: int) -> None:
    expected = ndimage.uniform_filter(plane, side, mode="nearest")
    np.testing.assert_allclose(box_mean(plane, side), expected, atol=1e-6)
    three = np.stack([plane, plane * 2, 1 - plane], axis=2)
    np.testing.assert_allclose(box_mean(three, side)[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("sides", [(5, 5), (3, 9)])
def test_the_largest_values_are_scipys(plane: np.ndarray, sides: tuple[int, int]) -> None:
    expected = ndimage.maximum_filter(plane, sides, mode="constant", cval=-np.inf)
    np.testing.assert_array_equal(largest(plane, *sides), expected)


def test_the_grey_copy_keeps_the_luma_and_has_no_colour() -> None:
    picture = np.random.default_rng(1).random((8, 9, 3)).astype(np.float32)
    grey = greyscale(picture)
    assert np.ptp(grey, axis=2).max() == 0
    assert np.abs(luma_codes(grey) - luma_codes(picture)).max() <= 0.51


def test_halving_takes_means_and_leaves_an_odd_line_out() -> None:
    picture = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    small = halved(picture)
    assert small.shape == (2, 2, 3)
    assert small[1, 1, 2] == picture[2:4, 2:4, 2].mean()
