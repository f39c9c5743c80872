from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgeexpo.parity.metrics import (
    BEST_PSNR,
    LARGER_IS_BETTER,
    WORST,
    correction_snr,
    delta_e_p99,
    measure,
    psnr,
    ssim,
    total_correction_snr,
    worst,
)


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


def test_colour_difference_equals_scikit_image():
    a, b = pair(3)
    expected = np.percentile(deltaE_ciede2000(rgb2lab(a), rgb2lab(b)), 99)
    assert delta_e_p99(a, b) == pytest.approx(expected, rel=1e-3)


def test_equal_pictures_have_the_best_values():
    a, _ = pair(1)
    found = measure(a, a, identity=a * 0.5)
    assert found["psnr"] == found["correction_snr"] == BEST_PSNR
    assert found["ssim"] == pytest.approx(1)
    assert found["max_abs"] == found["delta_e_p99"] == 0


def test_a_correction_of_nothing_scores_zero():
    reference, _ = pair(2)
    identity = reference - 0.01
    assert correction_snr(reference, identity, identity) == pytest.approx(0, abs=1e-6)
    assert correction_snr(identity, identity + 0.01, identity) == -BEST_PSNR


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_candidate_that_is_not_finite_has_the_worst_values(bad):
    a, b = pair(4)
    b[3, 4, 1] = bad
    assert measure(a, b, identity=a) == dict(WORST)


def test_worst_looks_the_right_way():
    rows = [dict.fromkeys(LARGER_IS_BETTER, 1.0), dict.fromkeys(LARGER_IS_BETTER, 2.0)]
    assert worst(rows) == {k: 1.0 if larger else 2.0 for k, larger in LARGER_IS_BETTER.items()}


def test_the_total_weighs_pictures_by_their_energy():
    random = np.random.default_rng(0)
    identity = random.random((2, 20, 30, 3), dtype=np.float32)
    reference = identity + np.array([0.1, 0.001], np.float32)[:, None, None, None]
    candidate = (reference + 0.002 * random.standard_normal(reference.shape)).astype(np.float32)
    rows = [measure(r, c, i) for r, c, i in zip(reference, candidate, identity, strict=True)]
    expected = correction_snr(*(x.reshape(20, 60, 3) for x in (reference, candidate, identity)))
    assert total_correction_snr(rows) == pytest.approx(expected, abs=0.01)
    assert total_correction_snr([{"psnr": 40.0}]) is None
