"""Tests of matrices made of primaries, against published ones."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.bt2100 import bt709_to_bt2020
from edgeexpo.imaging.primaries import BT709, D50_XYZ, D65, to_bt709, to_xyz

ACES = (0.32168, 0.33767, 0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770)
BT2020 = (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


def test_white_becomes_the_white_of_profiles():
    for primaries in (BT709, BT2020, ACES):
        np.testing.assert_allclose(to_xyz(primaries).sum(axis=1), D50_XYZ, atol=1e-6)


def test_srgb_has_the_colorants_of_its_profile():
    expected = [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7142]]
    np.testing.assert_allclose(to_xyz(BT709), expected, atol=4e-4)


def test_bt2020_is_the_inverse_of_its_standard():
    light = np.random.default_rng(0).random((5, 3), np.float32)
    np.testing.assert_allclose(bt709_to_bt2020(light) @ to_bt709(BT2020).T, light, atol=1e-3)


def test_aces_becomes_bt709_by_the_academys_matrix():
    # Published with ACES for Bradford's adaptation from D60 to D65.
    expected = [
        [2.52169, -1.13413, -0.38756],
        [-0.27648, 1.37272, -0.09624],
        [-0.01538, -0.15298, 1.16835],
    ]
    np.testing.assert_allclose(to_bt709(ACES), expected, atol=2e-3)


ADAPTED = (0.34571, 0.35854, 0.64845, 0.33088, 0.32119, 0.59789, 0.15590, 0.06606)
"""Chromaticities of BT.709 after its adaptation to D50, which some programs state."""


@pytest.mark.parametrize("primaries", [BT709, ADAPTED])
def test_bt709_needs_no_matrix_by_whatever_white(primaries):
    assert to_bt709(primaries) is None


@pytest.mark.parametrize("primaries", [(*D65, *D65, *D65, *D65), (0.3, 0, *BT709[2:]), (0.0,) * 8])
def test_primaries_without_colours_are_refused(primaries):
    with pytest.raises(ValueError, match="primar"):
        to_xyz(primaries)
