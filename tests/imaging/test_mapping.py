import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.exposure import match_histograms

from edgeexpo.imaging import mapping, response


@settings(deadline=None, max_examples=40)
@given(st.floats(0.5, 6), st.integers(0, 1000))
def test_mappings_rise_and_undo_each_other(ev, seed):
    table = response.random_response(np.random.default_rng(seed))
    up, down = mapping.exposure_mapping(table, ev), mapping.exposure_mapping(table, -ev)
    assert (np.diff(up, axis=0) >= 0).all()
    assert up.min() >= 0
    assert up.max() == 1
    codes = np.linspace(0, 1, 256)
    back = np.interp(down[:, 0], codes, up[:, 0])
    inside = (down[:, 0] > 8 / 255) & (codes < 0.95)
    np.testing.assert_allclose(back[inside], codes[inside], atol=2.5 / 255)


@settings(deadline=None, max_examples=40)
@given(st.floats(1, 6), st.integers(0, 1000))
def test_square_root_applied_twice_is_the_whole_mapping(ev, seed):
    table = response.random_response(np.random.default_rng(seed))
    up, _ = mapping.square_roots(table, ev)
    whole = mapping.exposure_mapping(table, ev)
    twice = np.interp(up[:, 0], np.linspace(0, 1, 256), up[:, 0])
    inside = up[:, 0] < 0.99
    np.testing.assert_allclose(twice[inside], whole[inside, 0], atol=2.5 / 255)


def test_square_root_does_not_depend_on_the_power_of_radiance():
    table = response.srgb()
    up, down = mapping.square_roots(table, 4.0)
    up_again, down_again = mapping.square_roots(table**1.5, 6.0)
    np.testing.assert_allclose(up, up_again, atol=0.02)
    np.testing.assert_allclose(down[16:], down_again[16:], atol=0.02)


def test_histogram_mapping_agrees_with_skimage():
    rng = np.random.default_rng(0)
    source = np.rint(rng.beta(2, 5, (200, 200, 3)) * 255) / 255
    target = np.rint(rng.beta(5, 2, (150, 180, 3)) * 255) / 255
    imf = mapping.histogram_mapping(source, target)
    codes = np.rint(source * 255).astype(np.uint8)
    mapped = np.stack([imf[codes[..., c], c] for c in range(3)], axis=2)
    oracle = match_histograms(source, target, channel_axis=2)
    assert np.abs(mapped - oracle).mean() * 255 < 1.5


def test_histogram_mapping_finds_a_known_mapping():
    rng = np.random.default_rng(1)
    table = response.srgb()
    source = np.rint(rng.random((256, 256, 3)) * 128) / 255
    true = mapping.exposure_mapping(table, 1.0)
    codes = np.rint(source * 255).astype(np.uint8)
    target = np.stack([true[codes[..., c], c] for c in range(3)], axis=2)
    found = mapping.histogram_mapping(source, target[::-1])
    np.testing.assert_allclose(found[1:128], true[1:128], atol=1 / 255)


def test_histograms_sum_to_one():
    frame = np.random.default_rng(2).random((700, 600, 3), dtype=np.float32)
    np.testing.assert_allclose(mapping.histograms(frame).sum(axis=1), 1)


def test_clipped_frames_have_no_matched_codes():
    low, high, share = mapping.matched_codes(np.zeros((4, 4, 3)), np.ones((4, 4, 3)))
    assert low.size == high.size == share.size == 0


def test_mapping_never_returns_values_outside_the_range():
    table = response.gamma(2.2)
    assert mapping.exposure_mapping(table, 20)[1:].min() == pytest.approx(1)
    assert mapping.exposure_mapping(table, -20).max() < 0.02
