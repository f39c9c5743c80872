"""Tests of tone mapping against direct calls of OpenCV, and of properties for any picture."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import MissingDependencyError, PictureError, UsageError
from edgeexpo.imaging import tonemap

OPERATORS = {
    "reinhard": tonemap.reinhard,
    "drago": tonemap.drago,
    "mantiuk": tonemap.mantiuk,
    "durand": tonemap.durand,
    "percentile_exposure": tonemap.percentile_exposure,
}


def scene(seed: int = 0, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return smooth radiance over four decades, with texture."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 2.0, (6, 6, 3)).astype(np.float32)
    log = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.exp(log + rng.normal(0, 0.1, (*size, 3))).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "direct"),
    [
        (
            lambda x: tonemap.reinhard(
                x, intensity=0.5, light_adapt=0.9, color_adapt=0.1, gamma=2.0
            ),
            lambda: cv2.createTonemapReinhard(2.0, 0.5, 0.9, 0.1),
        ),
        (
            lambda x: tonemap.drago(x, bias=0.8, saturation=0.9, gamma=1.9),
            lambda: cv2.createTonemapDrago(1.9, 0.9, 0.8),
        ),
        (
            lambda x: tonemap.mantiuk(x, scale=0.7, saturation=1.1, gamma=2.1),
            lambda: cv2.createTonemapMantiuk(2.1, 0.7, 1.1),
        ),
    ],
    ids=["reinhard", "drago", "mantiuk"],
)
def test_equals_opencv_called_directly(ours, direct):
    radiance = scene()
    expected = direct().process(radiance)
    finite = np.isfinite(expected)
    assert finite.mean() > 0.999
    np.testing.assert_allclose(ours(radiance)[finite], np.clip(expected, 0, 1)[finite], atol=1e-4)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("value", [(0, 0, 0), (5, 5, 5), (1e-9, 1e-9, 1e-9), (4, 2, 1)])
def test_a_constant_picture_stays_constant(name, value):
    out = OPERATORS[name](np.full((16, 20, 3), value, np.float32))
    assert out.shape == (16, 20, 3)
    assert out.dtype == np.float32
    assert np.all(np.ptp(out, axis=(0, 1)) == 0)
    assert out.max() == (1 if max(value) > 0 else 0)


@pytest.mark.parametrize("name", OPERATORS)
def test_half_black_pictures_have_no_nan(name):
    radiance = scene(1)
    radiance[:, :40] = 0
    radiance[0, 50] = (0, 3e4, 0)
    out = OPERATORS[name](radiance)
    assert np.all(np.isfinite(out))
    assert out.min() >= 0
    assert out.max() <= 1
    assert out[10, 10].max() <= 0.01


@pytest.mark.parametrize("name", OPERATORS)
def test_the_scale_of_radiance_does_not_matter(name):
    radiance = scene(2)
    np.testing.assert_allclose(
        OPERATORS[name](radiance * np.float32(512)), OPERATORS[name](radiance), atol=2e-4
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_bad_input_is_named(name):
    with pytest.raises(PictureError, match="expected HxWx3"):
        OPERATORS[name](np.zeros((4, 4), np.float32))
    with pytest.raises(PictureError, match="NaN"):
        OPERATORS[name](np.full((4, 4, 3), np.nan, np.float32))
    with pytest.raises(UsageError, match="gamma"):
        OPERATORS[name](scene(), gamma=0.0)


def test_durand_compresses_the_base_and_keeps_the_detail():
    step = np.where(np.arange(64) < 32, 1.0, 1000.0)[None, :, None]
    ripple = np.where(np.arange(48) % 2 == 0, 1.0, 1.1)[:, None, None]
    radiance = (step * ripple * np.ones(3)).astype(np.float32)
    out = tonemap.durand(radiance, contrast=2.0, gamma=1.0)
    between = np.log(out[::2, 60, 0].mean() / out[::2, 4, 0].mean())
    detail = np.log(out[21, 4, 0] / out[20, 4, 0])
    assert between == pytest.approx(2.0, abs=0.02)
    assert detail == pytest.approx(np.log(1.1), abs=0.005)


def test_durand_leaves_a_base_within_the_contrast():
    radiance = scene(3)
    radiance /= radiance.max()
    flat = (0.5 + 0.5 * radiance).astype(np.float32)
    out = tonemap.durand(flat, contrast=3.5, gamma=1.0)
    ratio = (out / flat)[out.max(axis=2) < 0.999]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)


def test_percentile_exposure_follows_its_formula():
    radiance = scene(4)
    low, high = np.percentile(radiance.astype(np.float64), [10, 90])
    expected = np.clip((radiance - low) / (high - low), 0, 1) ** (1 / 2.0)
    out = tonemap.percentile_exposure(radiance, low=10, high=90, gamma=2.0)
    np.testing.assert_allclose(out, expected, atol=2e-3)
    with pytest.raises(UsageError, match="percentiles"):
        tonemap.percentile_exposure(radiance, low=90, high=10)
    with pytest.raises(UsageError, match="contrast"):
        tonemap.durand(radiance, contrast=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_operators_are_repeatable_and_in_range(seed):
    operator = tonemap.random_operator(np.random.default_rng(seed))
    out = operator(scene(5))
    assert np.all(np.isfinite(out))
    assert 0 <= out.min() <= out.max() <= 1
    assert np.ptp(out) > 0.1
    np.testing.assert_array_equal(
        out, tonemap.random_operator(np.random.default_rng(seed))(scene(5))
    )


def test_random_operators_cover_the_published_ranges():
    ranges = {
        ("percentile_exposure", "low"): (0, 15),
        ("percentile_exposure", "high"): (85, 100),
        ("reinhard", "intensity"): (-1, 1),
        ("reinhard", "light_adapt"): (0.8, 1.0),
        ("reinhard", "color_adapt"): (0.0, 0.2),
        ("mantiuk", "scale"): (0.65, 0.85),
        ("drago", "bias"): (0.7, 0.9),
        ("durand", "contrast"): (1.0, 3.5),
    }
    ranges |= {(name, "gamma"): (1.8, 2.2) for name in OPERATORS}
    rng = np.random.default_rng(7)
    seen: dict[tuple[str, str], list[float]] = {}
    for _ in range(2000):
        drawn = tonemap.random_operator(rng)
        for parameter, value in drawn.keywords.items():
            seen.setdefault((drawn.func.__name__, parameter), []).append(value)
    assert seen.keys() == ranges.keys()
    for key, (low, high) in ranges.items():
        slack = 0.05 * (high - low)
        assert low <= min(seen[key]) < low + slack, key
        assert high - slack < max(seen[key]) <= high, key


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[camera\]"):
        tonemap.reinhard(scene())
