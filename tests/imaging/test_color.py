import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import color as skcolor

from edgeexpo.imaging.color import (
    delta_e_2000,
    hue_difference_2000,
    lab_to_rgb,
    linear_to_srgb,
    rgb_to_lab,
    rgb_to_ycbcr,
    srgb_to_linear,
    ycbcr_to_rgb,
)

# These pairs from Table 1 of Sharma, Wu, Dalal (2005) catch the usual mistakes in hue and chroma.
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 2.8361, -74.0200), (50, 0, -82.7485), 3.4412),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]

unit = hnp.arrays(np.float32, (4, 5, 3), elements=st.floats(0, 1, width=32))


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_published_pairs(first, second, expected):
    assert delta_e_2000(first, second) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(unit)
def test_transfer_functions_are_inverses(x):
    np.testing.assert_allclose(srgb_to_linear(linear_to_srgb(x)), x, atol=2e-6)


def test_transfer_function_has_the_standard_values():
    linear = srgb_to_linear([0.0, 0.04045, 0.5, 1.0])
    np.testing.assert_allclose(linear, [0, 0.0031308, 0.2140411, 1], atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(unit, unit)
def test_agrees_with_skimage(a, b):
    lab_a, lab_b = rgb_to_lab(a), rgb_to_lab(b)
    assert lab_a.dtype == np.float32
    expected = skcolor.rgb2lab(a.astype(np.float64))
    np.testing.assert_allclose(lab_a, expected, atol=2e-3)
    difference = delta_e_2000(lab_a.astype(np.float64), lab_b.astype(np.float64))
    oracle = skcolor.deltaE_ciede2000(lab_a.astype(np.float64), lab_b.astype(np.float64))
    np.testing.assert_allclose(difference, oracle, atol=1e-6)
    np.testing.assert_allclose(delta_e_2000(lab_a, lab_b), oracle, atol=2e-2)


@settings(deadline=None, max_examples=40)
@given(unit)
def test_lab_survives_the_round_trip_and_agrees_with_skimage(x):
    lab = rgb_to_lab(x)
    back = lab_to_rgb(lab)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, x, atol=2e-5)
    precise = rgb_to_lab(x.astype(np.float64))
    np.testing.assert_allclose(lab_to_rgb(precise), x, atol=1e-7)
    np.testing.assert_allclose(skcolor.lab2rgb(precise), lab_to_rgb(precise), atol=1e-4)


@pytest.mark.parametrize("lab", [(110.0, 0.0, 0.0), (50.0, 120.0, -120.0), (-5.0, 3.0, 3.0)])
def test_lab_outside_the_gamut_is_finite(lab):
    assert np.isfinite(lab_to_rgb(lab)).all()


@settings(deadline=None, max_examples=40)
@given(unit)
def test_ycbcr_survives_the_round_trip_and_agrees_with_opencv(x):
    coded = rgb_to_ycbcr(x)
    assert coded.dtype == np.float32
    np.testing.assert_allclose(ycbcr_to_rgb(coded), x, atol=2e-6)
    y, cr, cb = np.moveaxis(cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb), 2, 0)
    np.testing.assert_allclose(coded, np.stack([y, cb, cr], 2), atol=1e-3)


@settings(deadline=None, max_examples=40)
@given(unit, unit)
def test_difference_is_symmetric_and_zero_on_itself(a, b):
    lab_a, lab_b = rgb_to_lab(a), rgb_to_lab(b)
    np.testing.assert_allclose(delta_e_2000(lab_a, lab_b), delta_e_2000(lab_b, lab_a), atol=2e-2)
    assert delta_e_2000(lab_a, lab_a).max() == 0


def test_difference_of_a_picture_is_fast():
    lab = rgb_to_lab(np.random.default_rng(0).random((2, 512, 512, 3), dtype=np.float32))
    start = time.process_time()
    delta_e_2000(lab[0], lab[1])
    assert time.process_time() - start < 0.6


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 100), st.floats(-80, 80), st.floats(-80, 80))
def test_colours_that_differ_in_hue_alone_differ_by_their_difference_in_hue(light, a, b):
    """Mirrored at the axis of a*, a colour keeps its lightness and its chroma."""
    first, second = np.array([light, a, b]), np.array([light, a, -b])
    expected = skcolor.deltaE_ciede2000(first, second)
    assert abs(hue_difference_2000(first, second)) == pytest.approx(expected, abs=1e-6)
