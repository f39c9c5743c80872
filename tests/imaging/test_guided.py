from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import BundleError
from edgeexpo.imaging import raster
from edgeexpo.imaging.camera import re_expose
from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.guided import decode, encode, guided_by_windows, guided_upsampling
from edgeexpo.imaging.local_affine import fit_affine
from edgeexpo.imaging.resize import resize

COLORS = ("rgb", "lab")


def psnr(a, b):
    return -10 * np.log10(np.mean(np.square(a - b, dtype=np.float64)))


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.random((8, 8, 3), np.float32), (width, height), interpolation=1)


def photograph(name: str) -> np.ndarray:
    return np.asarray(getattr(skimage.data, name)()[..., :3], np.float32) / 255


def retouched(picture: np.ndarray) -> np.ndarray:
    """Apply a smooth tone curve, and brighten the surroundings of a point by one EV."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    ev = np.exp(-((y / height - 0.4) ** 2 + (x / width - 0.6) ** 2) / 0.08)
    linear = 2.2 * srgb_to_linear(picture) * np.exp2(ev)[..., None].astype(np.float32)
    return linear_to_srgb(np.clip(linear / (1 + linear) * (1 + 1 / 2.2), 0, 1))


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_a_network_that_changes_nothing_gives_the_frame_back(name, color):
    frame = photograph(name)
    small = encode(resize(frame, (96, 128)), color)
    np.testing.assert_allclose(guided_upsampling(small, [frame], color), frame, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([1e-2, 1e-4, 1e-6]))
def test_an_affine_change_is_exact(seed, radius, eps):
    rng = np.random.default_rng(seed)
    frame = np.clip(smooth(90, 140, seed) + rng.normal(0, 0.05, (90, 140, 3)), 0, 1)
    matrix, offset = np.eye(3) * 0.5 + rng.normal(0, 0.1, (3, 3)), rng.uniform(0, 0.2, 3)

    def change(picture):
        return (picture @ matrix.T + offset).astype(np.float32)

    small = change(resize(frame, (30, 44)))
    found = guided_upsampling(small, [frame], radius=radius, eps=eps)
    np.testing.assert_allclose(found, np.clip(change(frame), 0, 1), atol=1e-5)


def test_an_affine_mixture_of_two_frames_is_exact():
    frames = [smooth(80, 120, seed) for seed in (1, 2)]
    small = sum(w * resize(f, (20, 30)) for w, f in zip((0.3, 0.6), frames, strict=True)) + 0.05
    expected = 0.3 * frames[0] + 0.6 * frames[1] + 0.05
    np.testing.assert_allclose(guided_upsampling(small, frames), expected, atol=1e-5)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_local_change_at_a_small_size_is_right_at_full_size(name, color):
    frame = photograph(name)
    truth = retouched(frame)
    size = tuple(side // 2 for side in frame.shape[:2])
    small = resize(truth, size)
    found = guided_upsampling(encode(small, color), [frame], color)
    assert psnr(found, truth) > 35
    assert psnr(found, truth) > psnr(resize(small, frame.shape[:2]), truth) + 6


def test_fusion_at_a_small_size_is_right_at_full_size():
    shots = re_expose(photograph("coffee"), (-2, 0, 2), seed=1)
    truth = exposure_fusion(shots)
    small = resize(truth, (200, 300))
    found = guided_upsampling(small, [shots[0], shots[2]])
    assert psnr(found, truth) > 35
    assert psnr(found, truth) > psnr(resize(small, truth.shape[:2]), truth) + 3


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_flat_frames_get_the_networks_value(color, count, value):
    frames = [np.full((70, 90, 3), value, np.float32)] * count
    target = np.full((20, 24, 3), (0.2, 0.5, 0.6), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = guided_upsampling(encode(target, color), frames, color)
    np.testing.assert_allclose(found, np.broadcast_to(target[:1, :1], found.shape), atol=1e-4)


def test_a_black_frame_beside_a_bright_one_does_no_harm():
    frame = photograph("coffee")
    small = resize(retouched(frame), (200, 300))
    found = guided_upsampling(small, [np.zeros_like(frame), frame])
    assert psnr(found, retouched(frame)) > 35


@pytest.mark.parametrize("color", COLORS)
def test_equal_sizes_give_the_networks_picture(color):
    frame, small = smooth(40, 50, 3), smooth(40, 50, 4)
    np.testing.assert_allclose(
        guided_upsampling(encode(small, color), [frame], color), small, atol=1e-5
    )
    assert guided_upsampling(small + 2, [frame]).max() == 1


@pytest.mark.parametrize("shape", [(64, 64), (65, 33), (17, 200)])
def test_windows_are_seamless(shape):
    frame = np.random.default_rng(0).random((*shape, 3), np.float32)
    small = resize(retouched(frame), (16, 16))
    expected = guided_upsampling(small, [frame])
    found = guided_by_windows(small, [frame])
    for window in raster.windows(frame.shape, 7, 13):
        np.testing.assert_allclose(found[window], expected[window], atol=1e-6)


def test_a_network_that_sees_more_pixels_than_the_frames_have():
    frame = photograph("coffee")[:50, :70]
    small = resize(retouched(frame), (64, 128))
    assert psnr(guided_upsampling(small, [frame]), retouched(frame)) > 30


def test_unknown_colours_are_refused():
    frame = smooth(40, 50)
    for small in (frame, smooth(20, 20)):
        with pytest.raises(BundleError, match="'hsv'; this edgeexpo knows rgb, lab"):
            guided_upsampling(small, [frame], "hsv")


def windows(height: int, width: int, radius: int):
    """Yield every pixel with the window around it, which is cut off at the border."""
    for y in range(height):
        for x in range(width):
            rows = slice(max(0, y - radius), y + radius + 1)
            yield (y, x), (rows, slice(max(0, x - radius), x + radius + 1))


@pytest.mark.parametrize("frames", [1, 2])
def test_the_fit_equals_ridge_regression_window_by_window(frames):
    height, width, radius, eps = 13, 17, 2, 1e-3
    guide = np.concatenate([smooth(height, width, seed) for seed in range(frames)], 2)
    target = smooth(height, width, 9)
    pixels = np.concatenate([guide, np.ones((height, width, 1))], 2)
    whole = np.linalg.lstsq(pixels.reshape(height * width, -1), target.reshape(-1, 3))[0]
    rest = target - pixels @ whole
    local = np.empty((height, width, 3, guide.shape[2] + 1))
    for pixel, window in windows(height, width, radius):
        x = guide[window].reshape(-1, guide.shape[2]).astype(np.float64)
        y = rest[window].reshape(-1, 3)
        centred, ridge = x - x.mean(0), len(x) * eps * np.eye(x.shape[1])
        slope = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (y - y.mean(0))).T
        local[pixel] = np.concatenate([slope, (y.mean(0) - slope @ x.mean(0))[:, None]], 1)
    expected = np.empty_like(local)
    for pixel, window in windows(height, width, radius):
        expected[pixel] = local[window].mean((0, 1)) + whole.T
    planes = (np.ascontiguousarray(x.transpose(2, 0, 1), np.float32) for x in (guide, target))
    found = fit_affine(*planes, radius, eps).transpose(2, 3, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(COLORS))
def test_network_colours_survive_the_round_trip(seed, color):
    picture = np.random.default_rng(seed).random((6, 7, 3), np.float32)
    coded = encode(picture, color)
    assert coded.dtype == np.float32
    assert np.abs(coded).max() <= 1
    np.testing.assert_allclose(decode(coded, color), picture, atol=1e-5)
