"""Tests of Debevec calibration and merge on a simulated camera whose response is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import response
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.response_calibration import calibrate, merge_radiance

EVS = (-3.0, -1.5, 0.0, 1.5, 3.0)


@pytest.fixture(scope="module")
def radiance() -> np.ndarray:
    picture = data.coffee()[:256, :320].astype(np.float32) / 255
    return np.exp(1.3 * np.log(srgb_to_linear(picture) + 0.003)).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_a_simulated_response_is_recovered(radiance, seed):
    rng = np.random.default_rng(seed)
    camera = Camera(response.random_response(rng))
    table = calibrate([camera.shoot(radiance, ev, rng) for ev in EVS], EVS)
    assert table.shape == (256, 3)
    assert np.all(np.diff(table, axis=0) > 0)
    np.testing.assert_allclose(table[[0, -1]], [[0] * 3, [1] * 3], atol=1e-12)
    error = np.log2(table[20:236] / camera.table[20:236])
    error -= error.mean(axis=0)
    assert np.sqrt(np.mean(error**2)) < 0.1


def test_the_order_and_the_zero_of_evs_do_not_matter(radiance):
    rng = np.random.default_rng(0)
    camera = Camera(response.srgb())
    frames = [camera.shoot(radiance, ev, rng) for ev in EVS]
    table = calibrate(frames, EVS)
    again = calibrate(frames[::-1], [ev + 2 for ev in EVS[::-1]])
    np.testing.assert_allclose(table, again, rtol=0.02, atol=1e-3)


def test_merge_recovers_radiance(radiance):
    rng = np.random.default_rng(1)
    camera = Camera(response.random_response(rng))
    merged = merge_radiance([camera.shoot(radiance, ev, rng) for ev in EVS], EVS, camera.table)
    assert merged.dtype == np.float32
    seen = (radiance * 8 > 0.05) & (radiance / 8 < 0.9)
    error = np.log2(merged / radiance)[seen]
    assert np.sqrt(np.mean(error**2)) < 0.1


def test_merge_equals_opencv_where_nothing_clips():
    radiance = np.random.default_rng(2).uniform(0.1, 0.4, (40, 50, 1)).astype(np.float32)
    camera = Camera(response.srgb(), full_well=1e9, read_noise=0)
    evs = (-1.0, 0.0, 1.0)
    grey = np.repeat(radiance, 3, axis=2)
    frames = [camera.shoot(grey, ev, np.random.default_rng(0)) for ev in evs]
    codes = [np.rint(frame * 255).astype(np.uint8) for frame in frames]
    inverse = np.maximum(camera.table, 1e-6)[:, None].astype(np.float32)
    oracle = cv2.createMergeDebevec().process(codes, 2.0 ** np.array(evs, np.float32), inverse)
    np.testing.assert_allclose(merge_radiance(frames, evs, camera.table), oracle, rtol=0.005)


def test_a_channel_that_clips_alone_is_left_out_unlike_in_opencv():
    table = response.srgb()
    truth = table[[150, 40, 40], 0]
    camera = Camera(table)
    exposures = [camera.expose(np.tile(truth, (2, 2, 1)), ev) for ev in (0.0, 3.0)]
    codes = [np.rint(frame * 255).astype(np.uint8) for frame in exposures]
    assert codes[1][0, 0, 0] == 255 > codes[1][0, 0, 1]
    inverse = np.maximum(table, 1e-6)[:, None].astype(np.float32)
    oracle = cv2.createMergeDebevec().process(codes, np.array([1, 8], np.float32), inverse)
    merged = merge_radiance(exposures, (0.0, 3.0), table)
    np.testing.assert_allclose(merged[0, 0], truth, rtol=0.02)
    assert oracle[0, 0, 0] < 0.7 * truth[0]


def test_clipped_everywhere_takes_the_bound():
    table = response.srgb()
    white = [np.ones((2, 2, 3), np.float32)] * 3
    black = [np.zeros((2, 2, 3), np.float32)] * 3
    np.testing.assert_allclose(merge_radiance(white, (-2, 0, 2), table), 4.0, rtol=1e-3)
    bound = merge_radiance(black, (-2, 0, 2), table)
    assert 0 < bound.max() <= table[1].max() / 4


@pytest.mark.parametrize(
    ("evs", "message"),
    [
        ((0.0, 2.0, None), "expected a number"),
        ((0.0, 2.0), "expected a number"),
        ((0.0, 2.0, float("nan")), "expected a number"),
        ((0.0, 2.0, 2.0), "no two equal"),
    ],
)
def test_missing_and_equal_evs_are_refused(evs, message):
    frames = [np.zeros((8, 8, 3), np.float32)] * 3
    with pytest.raises(UsageError, match=message):
        calibrate(frames, evs)
    with pytest.raises(UsageError, match=message):
        merge_radiance(frames, evs, response.srgb())


def test_too_few_frames_and_other_sizes_are_refused():
    frames = [np.zeros((8, 8, 3), np.float32)] * 2
    with pytest.raises(UsageError, match="2 frames; expected 3 or more"):
        calibrate(frames, (0, 2))
    with pytest.raises(UsageError, match="no frames"):
        merge_radiance([], [], response.srgb())
    with pytest.raises(PictureError, match="one size"):
        calibrate([*frames, np.zeros((8, 9, 3), np.float32)], (-2, 0, 2))
