"""Resizing in compiled code gives the same numbers as in NumPy, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.kernels import using_kernels
from edgeexpo.imaging.resize import RESIZE_METHODS, resize

SIDE = st.integers(1, 60)


def forms(picture, size, method, workers=1):
    for form in ("numpy", "numba"):
        with using_kernels(form):
            yield resize(picture, size, method, workers)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(RESIZE_METHODS), st.booleans(), st.integers(1, 2))
def test_forms_agree_on_integer_codes(height, width, tall, wide, method, deep, workers) -> None:
    kind = np.uint16 if deep else np.uint8
    rng = np.random.default_rng(height * 61 + width)
    codes = rng.integers(0, np.iinfo(kind).max + 1, (height, width, 3)).astype(kind)
    numpys, fast = forms(CodedPicture(codes), (tall, wide), method, workers)
    np.testing.assert_array_equal(numpys, fast)
    floats = codes.astype(np.float32) / np.float32(np.iinfo(kind).max)
    with using_kernels("numpy"):
        np.testing.assert_allclose(fast, resize(floats, (tall, wide), method), atol=1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(RESIZE_METHODS))
def test_forms_agree_on_floats(height, width, tall, wide, method) -> None:
    picture = np.random.default_rng(height * 61 + width).random((height, width, 3), np.float32)
    numpys, fast = forms(picture, (tall, wide), method)
    np.testing.assert_array_equal(numpys, fast)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_long_sums_stay_exact(kind) -> None:
    codes = np.full((4001, 3, 3), np.iinfo(kind).max, kind)
    for made in forms(CodedPicture(codes), (2, 2), "triangle"):
        np.testing.assert_array_equal(made, 1)
