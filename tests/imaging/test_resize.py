from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeexpo.errors import PictureError
from edgeexpo.imaging.resize import RESIZE_METHODS, bilinear_taps, resize

sides = st.integers(1, 70)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * 100 + width).random((height, width, channels), np.float32)


@settings(deadline=None, max_examples=60)
@given(sides, sides, st.data())
def test_shrinking_by_area_equals_opencv(height, width, data):
    size = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    source = picture(height, width)
    oracle = cv2.resize(source, size[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resize(source, size), oracle, atol=2e-6)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_checks_on_the_grid_arrive_faint_by_triangle(factor):
    checks = (np.indices((16, 16)).sum(0) % 2).repeat(factor, 0).repeat(factor, 1)[..., None]
    area, triangle = (
        np.ptp(resize(checks.astype(np.float32), (16, 16), method)[2:-2, 2:-2])
        for method in ("area", "triangle")
    )
    assert area == pytest.approx(1)
    assert triangle < 0.32


@settings(deadline=None, max_examples=60)
@given(sides, sides, sides, sides)
def test_bilinear_equals_torchs(height, width, new_height, new_width):
    source, size = picture(height, width), (new_height, new_width)
    tensor = torch.from_numpy(source).permute(2, 0, 1)[None]
    oracle = torch.nn.functional.interpolate(tensor, size, mode="bilinear")
    # torch computes positions in float32, so its results differ slightly.
    found = resize(source, size, "bilinear")
    np.testing.assert_allclose(found, oracle[0].permute(1, 2, 0), atol=2e-5)


@settings(deadline=None, max_examples=60)
@given(sides, sides, sides, sides)
def test_triangle_equals_pillows(height, width, new_height, new_width):
    # torch 2.13.0 is no oracle here. With AVX-512, its antialiased resize of a contiguous picture
    # that is one pixel wide repeats the first row.
    source, size = picture(height, width), (new_height, new_width)
    planes = [Image.fromarray(source[..., channel]) for channel in range(3)]
    oracle = [plane.resize(size[::-1], Image.Resampling.BILINEAR) for plane in planes]
    found = resize(source, size, "triangle")
    np.testing.assert_allclose(found, np.stack(oracle, axis=-1), atol=2e-6)


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.sampled_from(["area", "triangle"]), st.data())
def test_enlarging_is_bilinear_whatever_the_method(height, width, method, data):
    size = data.draw(st.integers(height, 90)), data.draw(st.integers(width, 90))
    source = picture(height, width, 1)
    found = resize(source, size, method)
    np.testing.assert_array_equal(found, resize(source, size, "bilinear"))


@settings(deadline=None, max_examples=40)
@given(sides, sides, sides, sides, st.sampled_from(RESIZE_METHODS))
def test_a_constant_stays_and_the_range_is_kept(height, width, new_height, new_width, method):
    size = (new_height, new_width)
    flat = np.full((height, width, 2), 0.3, np.float32)
    np.testing.assert_allclose(resize(flat, size, method), 0.3, atol=1e-6)
    source = picture(height, width)
    found = resize(source, size, method)
    assert source.min() - 1e-6 <= found.min() <= found.max() <= source.max() + 1e-6


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (48, 80), (3, 160)])
def test_area_keeps_the_mean_when_both_axes_shrink(size):
    source = picture(48, 160)
    np.testing.assert_allclose(resize(source, size).mean((0, 1)), source.mean((0, 1)), atol=1e-6)


def test_the_same_size_is_a_copy():
    source = picture(9, 11)
    same = resize(source, (9, 11))
    np.testing.assert_array_equal(same, source)
    same[:] = 0
    assert source.max() > 0


@settings(deadline=None, max_examples=60)
@given(sides, sides)
def test_taps_stay_in_the_picture(n_in, n_out):
    index, weight = bilinear_taps(n_in, n_out)
    assert index.shape == (2, n_out)
    assert index.min() >= 0
    assert index.max() < n_in
    assert ((weight >= 0) & (weight <= 1)).all()


@pytest.mark.parametrize(
    ("shape", "size", "method", "words"),
    [
        ((4, 5), (2, 2), "area", "cannot resize 4x5 to 2x2; expected HxWxC"),
        ((0, 5, 3), (2, 2), "area", "not empty"),
        ((4, 5, 3), (0, 2), "area", "not empty"),
        ((4, 5, 3), (2, 2), "cubic", "expected area, triangle, bilinear"),
    ],
)
def test_what_cannot_be_resized_is_said(shape, size, method, words):
    with pytest.raises(PictureError, match=words):
        resize(np.zeros(shape, np.float32), size, method)
