import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import mapping, response
from edgeexpo.imaging.camera import Camera, re_expose
from edgeexpo.imaging.interpolation import intermediate, weights


def quantised(picture: np.ndarray) -> np.ndarray:
    return (np.rint(picture * 255) / 255).astype(np.float32)


def ramp() -> np.ndarray:
    """Return a ramp of radiance over 16 EV, 64x256x3."""
    steps = 2.0 ** np.linspace(-12, 4, 64 * 256)
    return np.repeat(steps.reshape(64, 256, 1), 3, axis=2)


@pytest.mark.parametrize("seed", range(5))
def test_ramp_with_the_true_response_is_right_within_a_grey_level(seed):
    camera = Camera(response.random_response(np.random.default_rng(seed)))
    under, middle, over = (camera.expose(ramp(), ev) for ev in (-2, 0, 2))
    y0 = intermediate(under, over, ev=4.0, response=camera.table)
    well_exposed = (under * 255 >= 55) & (under < 1) | (over * 255 > 5) & (over * 255 < 200)
    assert well_exposed.mean() > 0.3
    assert np.abs(y0 - middle)[well_exposed].max() * 255 < 1


def test_short_exposure_loses_dark_pixels_and_long_one_saturated_pixels():
    low, high = weights(5, 250)
    np.testing.assert_allclose(low[[0, 4, 55, 255]], [1e-6, 1e-6, 1, 1], rtol=1e-4)
    np.testing.assert_allclose(high[[0, 199, 250, 255]], [1, 1, 1e-6, 1e-6], rtol=1e-4)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    assert low[30] == pytest.approx(0.5, abs=1e-3)
    assert high[225] == pytest.approx(0.5, abs=1e-3)


def test_saturated_long_exposure_leaves_the_short_one():
    under = quantised(np.random.default_rng(0).uniform(0.3, 1, (16, 16, 3)))
    y0 = intermediate(under, np.ones_like(under), ev=4.0, response="srgb")
    lift, _ = mapping.square_roots(response.srgb(), 4.0)
    expected = lift[np.rint(under * 255).astype(int), 0]
    np.testing.assert_allclose(y0, expected, atol=1e-5)


def test_pixel_that_neither_frame_shows_gets_the_average():
    under, over = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    y0 = intermediate(under, over, ev=4.0, response="srgb")
    _, lower = mapping.square_roots(response.srgb(), 4.0)
    np.testing.assert_allclose(y0, (0 + lower[255, 0]) / 2, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 255), st.integers(0, 255), st.floats(1, 6))
def test_codes_give_exact_table_values_and_values_between_codes_stay_between(a, b, ev):
    codes = np.array([a, min(a + 1, 255)]), np.array([b, min(b + 1, 255)])
    x1, x2 = (np.repeat(c[:, None, None], 3, 2).astype(np.float32) / 255 for c in codes)
    lift, lower = mapping.square_roots(response.srgb(), ev)
    low, high = weights(5, 250)
    exact = (low[codes[0]] * lift[codes[0], 0] + high[codes[1]] * lower[codes[1], 0]) / (
        low[codes[0]] + high[codes[1]]
    )
    y0 = intermediate(x1, x2, ev=ev, response="srgb")
    np.testing.assert_allclose(y0[:, 0, 0], exact, atol=1e-6)
    half = intermediate(
        x1.mean(axis=0, keepdims=True), x2.mean(axis=0, keepdims=True), ev=ev, response="srgb"
    )
    corners = [lift[codes[0], 0], lower[codes[1], 0]]
    assert np.min(corners) - 1e-6 <= half[0, 0, 0] <= np.max(corners) + 1e-6


@pytest.mark.parametrize("ev", [4.0, None])
def test_fitted_response_beats_the_srgb_one(ev):
    rng = np.random.default_rng(3)
    camera = Camera(response.emor((-2.0, 0.3)))
    radiance = ramp() * rng.uniform(0.8, 1.2, (64, 256, 3))
    under, over = camera.shoot(radiance, -2, rng), camera.shoot(radiance, 2, rng)
    truth = camera.expose(radiance, 0)
    errors = [
        np.abs(intermediate(under, over, ev=ev, response=name) - truth).mean()
        for name in ("fitted", "srgb")
    ]
    assert errors[0] < 0.5 * errors[1]


def test_strips_do_not_show():
    photograph = np.random.default_rng(0).random((530, 1000, 3)) ** 2
    under, over = re_expose(photograph, (-2, 2), seed=1)
    whole = intermediate(under, over, ev=4.0, response="srgb")
    part = intermediate(under[200:300], over[200:300], ev=4.0, response="srgb")
    np.testing.assert_array_equal(whole[200:300], part)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"over": np.zeros((4, 5, 3), np.float32)}, PictureError),
        ({"over": np.zeros((4, 4, 4), np.float32)}, PictureError),
        ({"over": np.zeros((4, 4, 3), np.uint8)}, PictureError),
        ({"ev": -1.0}, UsageError),
        ({"ev": float("nan")}, UsageError),
        ({"response": "kodak"}, UsageError),
        ({"xi_lower": 60}, UsageError),
        ({"xi_upper": 100}, UsageError),
    ],
)
def test_bad_arguments_are_refused(change, error):
    frame = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(error, match="expected"):
        intermediate(**{"under": frame, "over": frame, "ev": 4.0, **change})
