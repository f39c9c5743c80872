import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.imaging.fusion import exposure_fusion, fused_by_windows
from edgeexpo.imaging.raster import whole_picture, windows

SIZES = [(16, 16), (17, 33), (64, 64), (101, 55), (240, 320)]


def bracket(height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """Return three exposures of a smooth scene, 8-bit codes, without exactly grey pixels."""
    rng = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(rng.random((height, width, 3), dtype=np.float32), (0, 0), 2)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    scene = scene * np.float32([1.0, 0.8, 0.9]) + np.float32([0.0, 0.02, 0.05])
    return [np.rint(np.clip(scene * gain, 0, 1) * 255).astype(np.uint8) for gain in (0.3, 0.7, 1.3)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("powers", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_equals_opencv(size, powers):
    codes = bracket(*size)
    # OpenCV converts frames to grey as if they were RGB, so it gets RGB frames.
    oracle = np.clip(cv2.createMergeMertens(*map(float, powers)).process(codes), 0, 1)
    contrast, saturation, exposedness = powers
    fused = exposure_fusion(
        [c.astype(np.float32) / 255 for c in codes],
        contrast=contrast,
        saturation=saturation,
        exposedness=exposedness,
    )
    difference = np.abs(fused - oracle)
    # Where a pixel is exactly grey, OpenCV's saturation is rounding noise, and so is the weight.
    assert np.quantile(difference, 0.999) < 1e-4
    assert difference.mean() < 2e-5


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 4))
def test_equal_frames_give_the_frame(height, width, count):
    frame = np.random.default_rng(1).random((height, width, 3), dtype=np.float32)
    np.testing.assert_allclose(exposure_fusion([frame] * count), frame, atol=1e-5)


def test_order_of_frames_does_not_matter_and_result_is_in_range():
    frames = [c.astype(np.float32) / 255 for c in bracket(50, 70)]
    fused = exposure_fusion(frames)
    assert fused.dtype == np.float32
    assert fused.min() >= 0
    assert fused.max() <= 1
    np.testing.assert_allclose(exposure_fusion(frames[::-1]), fused, atol=1e-5)


def test_narrow_sigma_prefers_the_mid_grey_frame():
    grey, white = np.full((32, 32, 3), 0.5, np.float32), np.full((32, 32, 3), 0.9, np.float32)
    fused = exposure_fusion([grey, white], contrast=0, saturation=0, sigma=0.05)
    np.testing.assert_allclose(fused, grey, atol=1e-4)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.zeros((8, 8), np.float32)],
        [np.zeros((8, 8, 4), np.float32)],
        [np.zeros((8, 8, 3), np.float32), np.zeros((8, 9, 3), np.float32)],
    ],
)
def test_bad_frames_are_refused(frames):
    with pytest.raises(PictureError):
        exposure_fusion(frames)


def test_a_floor_keeps_noise_from_choosing_frames() -> None:
    random = np.random.default_rng(0)
    frames = [np.full((64, 64, 3), v, np.float32) for v in (0.05, 0.5, 0.95)]
    noisy = [f + 2e-3 * random.standard_normal(f.shape).astype(np.float32) for f in frames]
    spread = {floor: exposure_fusion(noisy, floor=floor).std() for floor in (1e-12, 1e-3)}
    assert spread[1e-3] < 0.7 * spread[1e-12]


@settings(max_examples=15, deadline=None)
@given(st.integers(16, 150), st.integers(16, 150), st.sampled_from([32, 64]), st.integers(1, 3))
def test_fusion_by_windows_equals_the_whole(height, width, side, count):
    random = np.random.default_rng(height * 1000 + width)
    frames = [smooth(random, height, width) for _ in range(count)]
    fused = fused_by_windows(frames, side, floor=1e-5)
    expected = exposure_fusion(frames, floor=1e-5)
    np.testing.assert_allclose(whole_picture(fused), expected, atol=2e-5)
    for window in windows(fused.shape, 37, 53):
        np.testing.assert_allclose(fused[window], expected[window], atol=2e-5)


def smooth(random, height, width):
    noise = random.random((height, width, 3), np.float32)
    slow = np.sin(np.arange(width, dtype=np.float32) / 9 + random.random())[None, :, None]
    return np.clip(0.5 + 0.4 * slow + 0.2 * (noise - 0.5), 0, 1).astype(np.float32)
