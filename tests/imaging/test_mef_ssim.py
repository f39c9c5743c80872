import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.mef_ssim import EXPONENTS, MefReference, mef_ssim, mef_ssim_map


def bracket(height: int, width: int, count: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Return exposures of a smooth scene with noise, clipped at both ends, 8-bit codes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 9.0
    scene = np.stack([np.sin(rows + c) * np.cos(columns * (1 + c / 3)) for c in range(3)], axis=2)
    scene = 2.0 ** (3 * scene) * (1 + 0.1 * rng.standard_normal(scene.shape))
    evs = np.linspace(-3, 1, count)
    codes = [np.rint(np.clip(scene * 2.0**ev, 0, 1) ** (1 / 2.2) * 255) for ev in evs]
    return [np.asarray(c / 255, np.float32) for c in codes]


def grey(picture: np.ndarray) -> np.ndarray:
    red, green, blue = (np.rint(255 * picture[..., c]).astype(int) for c in range(3))
    return np.rint((299 * red + 587 * green + 114 * blue) / 1000)


def patch_score(patches: np.ndarray, y: np.ndarray) -> float:
    """Score one patch literally by the paper, from Kx11x11 patches and an 11x11 ``y`` of codes."""
    window = np.exp(-(np.arange(-5, 6)[:, None] ** 2 + np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()
    centred = [(p - p.mean()).ravel() for p in patches]
    norms = [np.linalg.norm(c) for c in centred]
    x = np.zeros(121)
    if max(norms) > 0:
        agreement = np.linalg.norm(np.sum(centred, axis=0)) / sum(norms)
        power = 10.0 if agreement >= 1 else min(math.tan(math.pi * agreement / 2), 10.0)
        for c, norm in zip(centred, norms, strict=True):
            if norm > 0:
                x += norm**power * c / norm
        length = np.linalg.norm(x)
        x = x / length * max(norms) if length > 0 else x
    x = x.reshape(11, 11)
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
    cov = (window * (x - mean_x) * (y - mean_y)).sum()
    constant = (0.03 * 255) ** 2
    return float((2 * cov + constant) / (var_x + var_y + constant))


def slow_map(planes: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    height, width = y.shape[0] - 10, y.shape[1] - 10
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            area = (slice(i, i + 11), slice(j, j + 11))
            out[i, j] = patch_score(np.array([p[area] for p in planes]), y[area])
    return out


def slow_halved(plane: np.ndarray) -> np.ndarray:
    height, width = -(-plane.shape[0] // 2), -(-plane.shape[1] // 2)
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            rows = [2 * i, min(2 * i + 1, plane.shape[0] - 1)]
            columns = [2 * j, min(2 * j + 1, plane.shape[1] - 1)]
            out[i, j] = plane[np.ix_(rows, columns)].mean()
    return out


def slow_mef_ssim(frames: list[np.ndarray], fused: np.ndarray) -> float:
    planes, y = [grey(f) for f in frames], grey(fused)
    score = 1.0
    for weight in (0.0448, 0.2856, 0.3001):
        score *= slow_map(planes, y).mean() ** (weight / (0.0448 + 0.2856 + 0.3001))
        planes, y = [slow_halved(p) for p in planes], slow_halved(y)
    return float(score)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_equals_the_literal_per_patch_formula(count: int) -> None:
    frames = bracket(45, 62, count)
    fused = exposure_fusion(frames)
    expected = slow_map([grey(f) for f in frames], grey(fused))
    np.testing.assert_allclose(mef_ssim_map(frames, fused), expected, atol=1e-6)
    assert mef_ssim(frames, fused) == pytest.approx(slow_mef_ssim(frames, fused), abs=1e-9)


def test_flat_frames_and_flat_areas_count_for_nothing() -> None:
    frames = bracket(43, 43, 2)
    frames[0][:, :20], frames[1][:20] = 0.0, 1.0
    fused = exposure_fusion(frames)
    expected = slow_map([grey(f) for f in frames], grey(fused))
    np.testing.assert_allclose(mef_ssim_map(frames, fused), expected, atol=1e-6)
    flat = [np.zeros_like(fused), np.ones_like(fused)]
    assert mef_ssim([*frames, *flat], fused) == pytest.approx(mef_ssim(frames, fused), abs=1e-9)


def test_structures_that_cancel_leave_none() -> None:
    frame = bracket(41, 41, 1)[0]
    codes = np.repeat(np.rint(frame[..., :1] * 255), 3, axis=2)
    opposite = [np.float32(codes / 255), np.float32((255 - codes) / 255)]
    # The desired patch has no variance, so the score of y is C / (var(y) + C).
    assert mef_ssim_map(opposite, np.full_like(frame, 0.5)) == pytest.approx(1.0)
    assert mef_ssim_map(opposite, opposite[0]).max() < 1


@settings(deadline=None, max_examples=15)
@given(st.integers(41, 70), st.integers(41, 70), st.integers(0, 9))
def test_a_single_frame_is_its_own_best_fusion(height: int, width: int, seed: int) -> None:
    frame = bracket(height, width, 1, seed)[0]
    assert mef_ssim([frame], frame) == pytest.approx(1.0, abs=1e-9)
    noise = np.random.default_rng(seed).normal(0, 0.1, frame.shape).astype(np.float32)
    assert mef_ssim([frame], np.clip(frame + noise, 0, 1)) < 0.99


def test_order_does_not_matter_and_fusion_beats_the_extremes() -> None:
    frames = bracket(97, 130, 3)
    fused = exposure_fusion(frames)
    assert mef_ssim(frames[::-1], fused) == pytest.approx(mef_ssim(frames, fused), abs=1e-12)
    assert all(mef_ssim(frames, fused) > mef_ssim(frames, f) for f in (frames[0], frames[-1]))
    reference = MefReference(frames)
    assert [reference(f) for f in (fused, *frames)] == [
        mef_ssim(frames, f) for f in (fused, *frames)
    ]
    assert EXPONENTS.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(64, 64, 3)], "no frames"),
        ([(64, 64, 3), (64, 64)], "frame 0 is 64x64; expected HxWx3"),
        ([(64, 64, 3), (64, 65, 3)], "the fused picture is 64x64x3, frame 0 is 64x65x3"),
        ([(40, 64, 3), (40, 64, 3)], "frame 0 is 40x64x3; MEF-SSIM needs 41 pixels"),
    ],
)
def test_bad_pictures_are_refused(shapes: list[tuple[int, ...]], message: str) -> None:
    fused, *frames = (np.zeros(s, np.float32) for s in shapes)
    with pytest.raises(PictureError, match=message):
        mef_ssim(frames, fused)
