"""Tests of the table of metrics against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from edgeexpo.evaluation import metrics
from edgeexpo.evaluation.metrics import Measure, measure_radiance, to_codes
from edgeexpo.evaluation.scene import Scene
from edgeexpo.parity.metrics import structure as parity


def pair(height: int, width: int, noise: float = 0.03, seed: int = 0) -> list[np.ndarray]:
    """Return a smooth picture and a noisy, darker copy, height x width x 3 uint8."""
    rng = np.random.default_rng(seed)
    picture = ndi.gaussian_filter(rng.random((height, width, 3)), (3, 3, 0))
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    other = 0.9 * picture + noise * rng.standard_normal(picture.shape)
    return [to_codes(p.astype(np.float32)) for p in (picture, other)]


def gaussian(side: int, sigma: float) -> np.ndarray:
    taps = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    return taps / taps.sum()


def blurred(plane: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Filter a plane with ``taps`` along both axes, only where the window fits."""
    cut = len(taps) // 2
    full = ndi.correlate1d(ndi.correlate1d(plane, taps, axis=0), taps, axis=1)
    return full[cut : plane.shape[0] - cut, cut : plane.shape[1] - cut]


def literal_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Return MS-SSIM after Wang et al. (2003), over the pixels of all three channels together."""
    weights, taps = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), gaussian(11, 1.5)
    planes = [[p[..., c].astype(float) for c in range(3)] for p in (x, y)]
    score = 1.0
    for scale, weight in enumerate(weights):
        values = []
        for a, b in zip(*planes, strict=True):
            ma, mb = blurred(a, taps), blurred(b, taps)
            va, vb = blurred(a * a, taps) - ma**2, blurred(b * b, taps) - mb**2
            cov = blurred(a * b, taps) - ma * mb
            value = (2 * cov + (0.03 * 255) ** 2) / (va + vb + (0.03 * 255) ** 2)
            if scale == 4:
                c1 = (0.01 * 255) ** 2
                value = value * (2 * ma * mb + c1) / (ma**2 + mb**2 + c1)
            values.append(value.mean())
        score *= np.mean(values) ** weight
        planes = [
            [p[: len(p) // 2 * 2, : p.shape[1] // 2 * 2] for p in picture] for picture in planes
        ]
        planes = [
            [(p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4 for p in picture]
            for picture in planes
        ]
    return float(score)


def literal_vifp(truth: np.ndarray, picture: np.ndarray) -> float:
    """Return VIFp as Sheikh and Bovik's release ``vifp_mscale`` does, with noise variance 2."""
    luma = np.array([0.299, 0.587, 0.114])
    x, y, noise = truth @ luma, picture @ luma, 2.0
    shared = total = 0.0
    for scale in range(1, 5):
        side = 2 ** (5 - scale) + 1
        taps = gaussian(side, side / 5)
        if scale > 1:
            x, y = blurred(x, taps)[::2, ::2], blurred(y, taps)[::2, ::2]
        mx, my = blurred(x, taps), blurred(y, taps)
        vx = np.maximum(blurred(x * x, taps) - mx**2, 0)
        vy = np.maximum(blurred(y * y, taps) - my**2, 0)
        cov = blurred(x * y, taps) - mx * my
        gain = cov / (vx + 1e-10)
        rest = vy - gain * cov
        gain[vx < 1e-10], rest[vx < 1e-10], vx[vx < 1e-10] = 0, vy[vx < 1e-10], 0
        gain[vy < 1e-10], rest[vy < 1e-10] = 0, 0
        rest[gain < 0], gain[gain < 0] = vy[gain < 0], 0
        rest = np.maximum(rest, 1e-10)
        shared += np.log10(1 + gain**2 * vx / (rest + noise)).sum()
        total += np.log10(1 + vx / noise).sum()
    return float(shared / total)


@pytest.mark.parametrize("size", [(176, 190), (200, 183)])
def test_metrics_equal_independent_ones(size):
    truth, picture = pair(*size)
    assert metrics.psnr_codes(truth, picture) == pytest.approx(
        peak_signal_noise_ratio(truth, picture)
    )
    floats = [p.astype(np.float32) / 255 for p in (truth, picture)]
    assert metrics.ssim_codes(truth, picture) == pytest.approx(parity.ssim(*floats), abs=1e-4)
    assert metrics.ms_ssim_codes(truth, picture) == pytest.approx(
        literal_ms_ssim(truth, picture), 1e-4
    )
    assert metrics.vif(truth, picture) == pytest.approx(literal_vifp(truth, picture), rel=1e-3)
    labs = [rgb2lab(p) for p in (truth, picture)]
    assert metrics.delta_e_codes(truth, picture) == pytest.approx(
        deltaE_ciede2000(*labs).mean(), abs=1e-3
    )


def test_equal_pictures_are_best_and_noise_is_worse():
    truth, slight = pair(180, 180, 0.01)
    _, strong = pair(180, 180, 0.1)
    best = {"psnr": 120.0, "ssim": 1.0, "ms_ssim": 1.0, "vif": 1.0, "delta_e": 0.0}
    for name, metric in metrics.PICTURE_METRICS.items():
        assert metric(truth, truth) == pytest.approx(best[name], abs=1e-5)
        sign = 1 if metrics.QUALITY_LARGER_IS_BETTER[name] else -1
        assert sign * metric(truth, slight) > sign * metric(truth, strong)


def test_windows_that_do_not_fit_give_none():
    truth, picture = pair(40, 160)
    assert metrics.ms_ssim_codes(truth, picture) is None
    assert metrics.vif(truth, picture) is None
    assert metrics.ssim_codes(truth, picture) is not None
    assert metrics.ssim_codes(truth[:10], picture[:10]) is None


def test_a_scene_gets_the_metrics_that_its_truth_allows():
    frames = tuple(p.astype(np.float32) / 255 for p in pair(64, 64))
    alone = Scene("a", ("g",), frames, None, "none", stack=(*frames, frames[0]))
    assert set(Measure(alone)(frames[0], frames[0])) == {"mef_ssim", "mef_ssim_inputs"}
    known = Scene("a", ("g",), frames[:1], frames[1], "photograph")
    assert set(Measure(known)(frames[0], frames[0])) == {"psnr", "ssim", "vif", "delta_e"}


def test_metrics_are_on_rounded_codes():
    truth = pair(48, 48)[0].astype(np.float32) / 255
    scene = Scene("a", ("g",), (truth,), truth, "photograph")
    assert Measure(scene)(truth + np.float32(0.4 / 255), truth)["psnr"] == 120
    assert Measure(scene)(truth + np.float32(0.6 / 255), truth)["psnr"] < 60


def test_radiance_is_measured_up_to_a_gain():
    rng = np.random.default_rng(0)
    truth = np.float32(2.0 ** rng.uniform(-6, 3, (30, 40, 3)))
    frame = np.clip(truth, 0, 1) ** np.float32(1 / 2.2)
    same = measure_radiance(truth, truth * 7, frame)
    assert same["clipped_log_error"] == pytest.approx(0, abs=1e-5)
    assert same["pu21_psnr"] > 100
    clipped = frame.max(axis=2) >= 250 / 255
    wrong = np.where(clipped[..., None], truth / 4, truth)
    scores = measure_radiance(truth, wrong, frame)
    assert scores["clipped_log_error"] == pytest.approx(2, abs=1e-5)
    assert scores["pu21_psnr"] < same["pu21_psnr"]
    assert "clipped_log_error" not in measure_radiance(truth, truth, frame * 0.5)
