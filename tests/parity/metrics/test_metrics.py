from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.pu21 import BEST_PSNR
from edgeexpo.imaging.pu21 import pu21_psnr as pu21_psnr_of_luminance
from edgeexpo.parity.metrics.pictures import (
    ALL,
    METRICS,
    WORST,
    correction_snr,
    delta_e,
    delta_e_p99,
    measure_pictures,
    psnr,
    radiance_psnr,
    total,
    total_correction_snr,
    worst,
)
from edgeexpo.parity.metrics.structure import ms_ssim, ssim


def pair(seed, noise=0.02, shape=(40, 50, 3)):
    random = np.random.default_rng(seed)
    picture = random.random(shape, dtype=np.float32)
    return picture, np.clip(picture + noise * random.standard_normal(shape), 0, 1).astype(
        np.float32
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-4, 0.3))
def test_psnr_and_ssim_equal_scikit_image(seed, noise):
    a, b = pair(seed, noise)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-3)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(a, b, data_range=1, channel_axis=2, **options)
    assert ssim(a, b) == pytest.approx(expected, abs=2e-4)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 0.3))
def test_multiscale_ssim_equals_torchmetrics(seed, noise):
    a, b = pair(seed, noise, (180, 190, 3))
    tensors = [torch.from_numpy(p.transpose(2, 0, 1)[None].copy()) for p in (b, a)]
    expected = multiscale_structural_similarity_index_measure(*tensors, data_range=1.0)
    # torchmetrics pads the finest scales, so the results differ at the border.
    assert ms_ssim(a, b) == pytest.approx(float(expected), abs=1e-2)
    assert ms_ssim(a[:175], b[:175]) is None
    assert np.isfinite(ms_ssim(a[:176, :176], b[:176, :176]))


def test_colour_difference_equals_scikit_image():
    a, b = pair(3)
    expected = deltaE_ciede2000(rgb2lab(a), rgb2lab(b))
    found = delta_e(a, b)
    assert found["delta_e_mean"] == pytest.approx(expected.mean(), rel=1e-3)
    assert found["delta_e_p95"] == pytest.approx(np.percentile(expected, 95), rel=1e-3)
    assert found["delta_e_p99"] == pytest.approx(np.percentile(expected, 99), rel=1e-3)
    assert delta_e_p99(a, b) == found["delta_e_p99"]


def test_radiance_is_judged_as_a_display_shows_it():
    a, b = pair(5)
    luminance = [1000 * srgb_to_linear(p) for p in (a, b)]
    assert radiance_psnr(a, b) == pytest.approx(pu21_psnr_of_luminance(*luminance))
    assert "pu21_psnr" in measure_pictures(a, b, None, hdr=True)
    assert "pu21_psnr" not in measure_pictures(a, b, None)


def test_equal_pictures_have_the_best_values():
    a, _ = pair(1)
    found = measure_pictures(a, a, identity=a * 0.5)
    assert found.pop("psnr") == found.pop("correction_snr") == BEST_PSNR
    assert found.pop("ssim") == pytest.approx(1)
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-4)
    assert set(found) < set(METRICS)


def test_a_correction_of_nothing_scores_zero():
    reference, _ = pair(2)
    identity = reference - 0.01
    assert correction_snr(reference, identity, identity) == pytest.approx(0, abs=1e-6)
    assert correction_snr(identity, identity + 0.01, identity) == -BEST_PSNR


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_candidate_that_is_not_finite_has_the_worst_values(bad):
    a, b = pair(4)
    b[3, 4, 1] = bad
    found = measure_pictures(a, b, identity=a)
    assert found.pop("nonfinite") == pytest.approx(100 / (40 * 50))
    assert found == {name: WORST[name] for name in found}
    assert {"psnr", "ssim", "delta_e_p99", "correction_snr", "banding"} <= set(found)


def test_a_constant_frame_has_no_structure():
    black = np.zeros((32, 32, 3), np.float32)
    assert "ssim" not in measure_pictures(black, black + 2 / 255, None)
    assert "ssim" in measure_pictures(pair(1)[0], pair(1)[1], None)


def test_worst_looks_the_right_way():
    rows = [dict.fromkeys(ALL, 1.0), dict.fromkeys(ALL, 2.0)]
    assert worst(rows) == {k: 1.0 if m.larger_is_better else 2.0 for k, m in ALL.items()}
    signed = [{"luminance_shift": v, "luminance_shift_quantized": -v} for v in (1.0, -3.0, 2.0)]
    assert worst(signed) == {"luminance_shift": -3.0, "luminance_shift_quantized": 3.0}
    assert np.isnan(worst([{"psnr": 40.0}, {"psnr": float("nan")}])["psnr"])


def test_the_total_weighs_pictures_by_their_energy():
    random = np.random.default_rng(0)
    identity = random.random((2, 20, 30, 3), dtype=np.float32)
    reference = identity + np.array([0.1, 0.001], np.float32)[:, None, None, None]
    candidate = (reference + 0.002 * random.standard_normal(reference.shape)).astype(np.float32)
    rows = [
        measure_pictures(r, c, i) for r, c, i in zip(reference, candidate, identity, strict=True)
    ]
    expected = correction_snr(*(x.reshape(20, 60, 3) for x in (reference, candidate, identity)))
    assert total_correction_snr(rows) == pytest.approx(expected, abs=0.01)
    assert total(rows) == {"correction_snr": total_correction_snr(rows)}
    assert total([{"psnr": 40.0}]) == {}


def test_shifts_are_averaged_with_their_sign():
    rows = [{"luminance_shift_quantized": v, "contrast_change_quantized": 1.0} for v in (1, -3, 5)]
    assert total(rows) == {"luminance_shift_quantized": 1.0, "contrast_change_quantized": 1.0}
