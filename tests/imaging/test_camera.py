import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.imaging import response
from edgeexpo.imaging.camera import Camera, re_expose
from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear


def photograph(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((24, 30, 3), dtype=np.float32)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_frames_are_8_bit_codes_and_brighten_with_ev(seed):
    frames = re_expose(photograph(), (-4, -2, 0, 2), seed)
    for frame in frames:
        assert frame.dtype == np.float32
        assert frame.shape == (24, 30, 3)
        np.testing.assert_allclose(frame * 255, np.rint(frame * 255), atol=1e-4)
        assert frame.min() >= 0
        assert frame.max() <= 1
    means = [frame.mean() for frame in frames]
    assert means == sorted(means)


def test_same_seed_same_frames_and_another_seed_others():
    first, again, other = (re_expose(photograph(), (-2, 2), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - other[0]).max() > 0


def test_srgb_camera_without_noise_returns_the_photograph():
    camera = Camera(response.srgb(), full_well=1e9, read_noise=0)
    frame = camera.shoot(srgb_to_linear(photograph()), 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(frame, photograph(), atol=0.6 / 255)


@pytest.mark.parametrize("ev", [-3.0, 1.0])
def test_ev_steps_are_exact(ev):
    radiance = srgb_to_linear(photograph())
    frame = Camera(response.srgb()).expose(radiance, ev)
    expected = linear_to_srgb(np.minimum(radiance * 2**ev, 1))
    # Between two codes the table is a straight line, which matters only in deep shadow.
    np.testing.assert_allclose(frame, expected, atol=0.3 / 255)


def test_noise_is_shot_and_read_noise():
    linear = Camera(response.gamma(1.0), full_well=1000.0, read_noise=5.0)
    flat = np.full((300, 300, 3), 0.4)
    frame = linear.shoot(flat, 0.0, np.random.default_rng(0))
    expected = np.sqrt(0.4 / 1000 + (5 / 1000) ** 2 + 1 / (12 * 255**2))
    assert frame.std() == pytest.approx(expected, rel=0.02)
    assert frame.mean() == pytest.approx(0.4, abs=1e-3)


def test_random_cameras_stay_within_the_stated_range():
    rng = np.random.default_rng(0)
    cameras = [Camera.random(rng) for _ in range(50)]
    assert all(1500 <= c.full_well <= 6000 and 2 <= c.read_noise <= 4 for c in cameras)
    assert len({c.table[128, 0] for c in cameras}) == 50


def test_jpeg_changes_frames_a_little_and_less_at_high_quality():
    radiance = np.linspace(0, 1, 32 * 32 * 3, dtype=np.float32).reshape(32, 32, 3)
    shots = {
        quality: Camera(response.srgb(), jpeg_quality=quality).shoot(
            radiance, 0.0, np.random.default_rng(0)
        )
        for quality in (None, 95, 30)
    }
    errors = [float(np.abs(shots[q] - shots[None]).mean()) for q in (95, 30)]
    assert 0 < errors[0] < errors[1] < 0.05
    codes = shots[30] * 255
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
