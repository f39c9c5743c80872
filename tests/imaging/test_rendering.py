"""Rendering takes tone and strength of colour from the network, and the rest from the frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import coffee

from edgeexpo.errors import BundleError
from edgeexpo.imaging.color import rgb_to_lab
from edgeexpo.imaging.guided import encode
from edgeexpo.imaging.mef_ssim import mef_ssim
from edgeexpo.imaging.rendering import (
    CORRECTION_RENDERING,
    FUSION_RENDERING,
    Rendering,
    rendered,
    rendered_by_windows,
)
from edgeexpo.imaging.resize import resize

SMALL = (40, 48)


def exposures(count=2, size=(200, 240)):
    scene = coffee()[: size[0], : size[1]].astype(np.float32) / 255
    return [np.clip(scene * np.float32(gain), 0, 1) for gain in np.geomspace(0.3, 2.5, count)]


def grey(frame):
    return np.repeat(frame.mean(2, keepdims=True), 3, 2)


def rendering(frames):
    return FUSION_RENDERING if len(frames) > 1 else CORRECTION_RENDERING


@pytest.mark.parametrize("count", [1, 2, 3])
def test_grey_frames_stay_grey_whatever_the_network_says(count) -> None:
    frames = [grey(frame) for frame in exposures(count)]
    small = np.random.default_rng(0).random((*SMALL, 3), np.float32)
    picture = rendered(small, frames, rendering(frames))
    assert np.abs(rgb_to_lab(picture)[..., 1:]).max() < 0.2


@pytest.mark.parametrize("gain", [0.8, 1.25])
def test_a_frames_own_tone_curve_is_followed(gain) -> None:
    (frame,) = exposures(1)
    small = np.clip(resize(frame, SMALL) * np.float32(gain), 0, 1)
    picture = rendered(small, [frame], CORRECTION_RENDERING)
    distance = picture - np.clip(frame * gain, 0, 1)
    assert np.sqrt((distance**2).mean()) < 0.02


def test_the_frames_own_picture_comes_back() -> None:
    (frame,) = exposures(1)
    picture = rendered(resize(frame, SMALL), [frame], CORRECTION_RENDERING)
    np.testing.assert_allclose(picture, frame, atol=0.012)


def test_weave_and_borders_of_the_small_picture_stay_out() -> None:
    frames = exposures()
    small = resize(frames[0] * 0.5 + frames[1] * 0.5, SMALL)
    faulty = small.copy()
    faulty[::2, ::2] += 0.05
    clean, kept = (rendered(s, frames, rendering(frames)) for s in (small, faulty))
    weave = np.abs((kept - clean) - (kept - clean).mean()).mean()
    assert weave < 0.1 * np.abs((faulty - small) - (faulty - small).mean()).mean()


def test_structure_is_nearer_to_the_frames_than_a_blurred_network() -> None:
    frames = exposures()
    small = np.clip(resize(frames[0], (20, 24)) * 0.5 + resize(frames[1], (20, 24)) * 0.5, 0, 1)
    picture = rendered(small, frames, rendering(frames))
    assert mef_ssim(frames, picture) > 0.95


def test_a_hue_that_no_frame_shows_is_the_networks() -> None:
    frames = exposures()
    for frame in frames:
        frame[:100] = (0.99, 0.96, 0.96)
    small = resize(frames[0] * 0.5 + frames[1] * 0.5, SMALL)
    small[:20] = (0.6, 0.7, 0.9)
    picture = rendered(small, frames, rendering(frames))
    seen, hidden = (picture[20:80, ..., 2] - picture[20:80, ..., 0]).mean(), frames[0][50, 50]
    assert hidden[2] < hidden[0]
    assert seen > 0.01
    without = rendered(small, frames, Rendering(largest_hue=1e-6))
    assert (without[20:80, ..., 2] - without[20:80, ..., 0]).mean() < seen - 0.01


@given(seed=st.integers(0, 99), count=st.integers(1, 3))
def test_windows_make_the_whole_picture(seed, count) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 70, 2)
    frames = [rng.random((height, width, 3), np.float32) for _ in range(count)]
    raster = rendered_by_windows(rng.random((9, 11, 3), np.float32), frames, rendering(frames))
    whole = raster[slice(0, height), slice(0, width)]
    window = (slice(height // 3, height), slice(width // 4, width // 2))
    np.testing.assert_allclose(raster[window], whole[window], atol=1e-6)
    assert whole.min() >= 0
    assert whole.max() <= 1


def test_a_picture_of_the_frames_size_is_rendered_too() -> None:
    frames = exposures(size=(40, 48))
    noise = np.random.default_rng(0).random((40, 48, 3), np.float32)
    picture = rendered(noise, frames, rendering(frames))
    assert np.abs(picture - noise).mean() > 0.1


def test_lab_and_copies_at_hand_give_the_same_picture() -> None:
    frames = exposures()
    small = resize(frames[0] * 0.4 + frames[1] * 0.6, SMALL)
    copies = [encode(resize(frame, SMALL), "lab") for frame in frames]
    expected = rendered(small, frames, FUSION_RENDERING)
    made = rendered_by_windows(encode(small, "lab"), frames, FUSION_RENDERING, "lab", scaled=copies)
    np.testing.assert_allclose(made[slice(0, 200), slice(0, 240)], expected, atol=1e-3)


def test_parameters_of_the_stage_are_checked() -> None:
    frames = exposures(1)
    with pytest.raises(BundleError, match="colours are 'xyz'"):
        rendered(frames[0], frames, CORRECTION_RENDERING, "xyz")
    with pytest.raises(TypeError, match="radios"):
        Rendering(radios=3)
    assert Rendering(**FUSION_RENDERING.parameters()) == FUSION_RENDERING
