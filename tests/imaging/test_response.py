import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import UsageError
from edgeexpo.imaging import response
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import linear_to_srgb


def scene(seed: int, size: int = 96) -> np.ndarray:
    """Return radiance with 12 EV between its darkest and its brightest parts."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size] / size
    ramp = 2.0 ** (12 * rows - 9)
    tint = 1 + 0.3 * np.sin(6 * columns[..., None] + np.arange(3))
    return (ramp[..., None] * tint * rng.uniform(0.9, 1.1, (size, size, 1))).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_random_responses_rise_from_0_to_1(seed):
    table = response.random_response(np.random.default_rng(seed))
    assert table.shape == (256, 3)
    assert (table[0] == 0).all()
    assert table[-1] == pytest.approx(1)
    assert np.diff(table, axis=0).min() > 0


def test_random_responses_spread_between_gamma_3_and_gamma_1_2():
    rng = np.random.default_rng(0)
    middle = [response.random_response(rng)[128, 0] for _ in range(200)]
    low, high = np.quantile(middle, [0.05, 0.95])
    assert response.gamma(3)[128, 0] < low < response.gamma(2.4)[128, 0]
    assert response.gamma(1.8)[128, 0] < high < response.gamma(1.2)[128, 0]


def test_srgb_and_gamma_tables():
    codes = np.linspace(0, 1, 256)
    np.testing.assert_allclose(linear_to_srgb(response.srgb()[:, 0]), codes, atol=2e-5)
    np.testing.assert_allclose(response.gamma(2.2)[:, 1] ** (1 / 2.2), codes, atol=2e-3)


def test_mean_response_is_the_published_one():
    radiance = np.array([100, 300, 512, 700]) / 1023
    published = [0.2650, 0.5733, 0.7581, 0.8680]
    table = response.emor(())[:, 0]
    got = [np.interp(r, table, np.linspace(0, 1, 256)) for r in radiance]
    np.testing.assert_allclose(got[1:], published[1:], atol=2e-3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_render_inverts_the_table(seed):
    table = response.random_response(np.random.default_rng(seed))
    codes = np.arange(256) / 255
    rendered = response.render(table[:, None, :], table)
    np.testing.assert_allclose(rendered, np.repeat(codes[:, None, None], 3, 2), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_fit_recovers_the_mapping(seed):
    rng = np.random.default_rng(seed)
    camera = Camera(response.random_response(rng), full_well=20000.0)
    radiance = scene(seed)
    under, over = camera.shoot(radiance, -2, rng), camera.shoot(radiance, 2, rng)
    fitted, ev = response.fit_response(under, over, 4.0)
    assert ev == 4.0
    codes = np.linspace(0, 1, 256)
    inside = slice(8, 200)
    got = np.interp(0.25 * fitted[inside, 0], fitted[:, 0], codes)
    true = np.interp(0.25 * camera.table[inside, 0], camera.table[:, 0], codes)
    assert np.abs(got - true).mean() * 255 < 1.5


def test_fit_without_ev_gives_the_same_half_way_exposure():
    rng = np.random.default_rng(5)
    camera = Camera(response.emor((0.5, -0.5)))
    under, over = (camera.shoot(scene(5), ev, rng) for ev in (-2, 2))
    fitted, ev = response.fit_response(under, over, None)
    codes = np.linspace(0, 1, 256)
    inside = slice(20, 200)
    got = np.interp(2.0 ** (-ev / 2) * fitted[inside, 0], fitted[:, 0], codes)
    true = np.interp(0.25 * camera.table[inside, 0], camera.table[:, 0], codes)
    assert np.abs(got - true).mean() * 255 < 3


def test_frames_that_share_nothing_get_the_mean_response():
    black, white = np.zeros((8, 8, 3), np.float32), np.ones((8, 8, 3), np.float32)
    table, ev = response.fit_response(black, white, 4.0)
    np.testing.assert_array_equal(table, response.emor(()))
    assert ev == 4.0
    assert response.estimate_ev(black, white, table) == 4.0


@pytest.mark.parametrize("ev", [2.0, 4.0])
def test_ev_is_estimated_under_a_known_response(ev):
    rng = np.random.default_rng(1)
    camera = Camera(response.srgb())
    under, over = camera.shoot(scene(1), -ev / 2, rng), camera.shoot(scene(1), ev / 2, rng)
    assert response.estimate_ev(under, over, camera.table) == pytest.approx(ev, abs=0.15)


@pytest.mark.parametrize(
    "call",
    [
        lambda: response.gamma(0),
        lambda: response.emor((30.0, -20.0)),
        lambda: response.emor(np.zeros(5)),
        lambda: response.checked(np.zeros((256, 3))),
        lambda: response.checked(np.zeros((256,))),
        lambda: response.checked(np.full((256, 3), np.nan)),
    ],
)
def test_impossible_responses_are_refused(call):
    with pytest.raises(UsageError, match=r"expected|decreases"):
        call()
