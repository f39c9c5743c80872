from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.parity.metrics import tones
from edgeexpo.parity.probes import probes

RAMP = probes(1, 128)[0].frames[0]


def picture(seed=0, side=96):
    from tests.support.pictures import smooth_picture

    return 0.1 + 0.8 * smooth_picture(side, side, seed)


@pytest.mark.parametrize("shape", [(40, 50, 3), (40, 50, 1)])
def test_an_even_change_of_brightness_is_its_size(shape):
    grey = np.full(shape, 0.4, np.float32)
    assert tones.luminance_shift(grey, grey + np.float32(3 / 255)) == pytest.approx(3, abs=1e-3)
    assert tones.luminance_shift(grey, grey - np.float32(3 / 255)) == pytest.approx(-3, abs=1e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 50), st.floats(0.8, 1.2), st.floats(-0.05, 0.05))
def test_contrast_is_the_gain_whatever_offset_and_noise(seed, gain, offset):
    reference = picture(seed)
    noise = 0.01 * np.random.default_rng(seed).standard_normal(reference.shape)
    candidate = (gain * reference + offset + noise).astype(np.float32)
    found = tones.contrast_change(reference, candidate)
    variance = tones.luma(tones.sampled(reference)).var()
    counted = variance / (variance + (16 / 255) ** 2)
    assert counted > 0.75
    assert found == pytest.approx(100 * counted * (gain - 1), abs=0.6)


def test_a_change_of_little_contrast_counts_little():
    reference = picture()
    faint = 0.5 + (reference - 0.5) * np.float32(16 / 255) / tones.luma(reference).std()
    assert tones.contrast_change(faint, 1.04 * faint) == pytest.approx(2, abs=0.01)
    assert tones.contrast_change(np.full((32, 32, 3), 0.5, np.float32), reference[:32, :32]) == 0


def test_clipping_counts_pixels_that_clearly_change():
    reference = np.full((10, 10, 3), 0.9, np.float32)
    candidate = reference.copy()
    candidate[:2, :, 1] = 1
    candidate[2:5, :, 0] = 0
    assert tones.clipped_change(reference, candidate) == 50
    assert tones.clipped_change(candidate, reference) == 0
    near = np.full((10, 10, 3), 1 - 2 / 255, np.float32)
    assert tones.clipped_change(near, np.ones_like(near)) == 0


def test_a_cast_is_what_no_gain_explains():
    reference = picture()
    noise = 0.01 * np.random.default_rng(0).standard_normal(reference.shape)
    assert tones.color_cast(reference, 0.8 * reference + 0.1 + noise) < 1
    warm = reference * np.array([1.05, 1, 0.95])
    assert tones.color_cast(reference, warm + noise) == pytest.approx(5, abs=1)
    mixed = reference @ (np.eye(3) + 0.1 * np.roll(np.eye(3), 1, axis=1))
    assert tones.color_cast(reference, mixed + noise) == pytest.approx(10, abs=1.5)
    grey = np.full((32, 32, 3), 0.5)
    assert tones.color_cast(grey, grey + noise[:32, :32]) < 3


def test_overshoot_is_beyond_what_the_reference_has():
    reference = picture()
    assert tones.overshoot(reference, np.clip(reference, 0, 1)) == 0
    candidate = reference.copy()
    candidate[3, 4, 1] = 1.02
    candidate[5, 6, 0] = -0.04
    assert tones.overshoot(reference, candidate) == pytest.approx(0.04 * 255, rel=1e-4)
    assert tones.overshoot(candidate, candidate) == 0


def test_rounding_of_a_reference_without_a_clamp_is_no_overshoot():
    reference = np.interp(picture(), (picture().min(), picture().max()), (-0.05, 1.05))
    noise = np.random.default_rng(0).standard_normal(reference.shape) / tones.CODE_STEPS
    assert tones.overshoot(reference, reference + noise) == 0
    assert tones.overshoot(np.clip(reference, 0, 1), np.clip(reference, 0, 1) + noise) > 1.5
    assert tones.overshoot(reference, 2 * reference) > 1.5


@pytest.mark.parametrize("source", ["ramp", "photograph", "noisy photograph"])
def test_banding_is_that_of_fewer_bits(source):
    reference = RAMP if source == "ramp" else picture(1, 160)
    noise = 0.004 * np.random.default_rng(0).standard_normal(reference.shape)
    shown = reference + (noise if source.startswith("noisy") else 0)

    def at(bits):
        levels = 2**bits - 1
        return tones.banding(reference, (np.rint(shown * levels) / levels).astype(np.float32))

    assert at(8) < 0.35
    assert 0.3 < at(7) < 0.75
    assert 0.9 < at(6) < 1.5
    assert at(5) > 1.5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 50), st.floats(0, 0.02), st.floats(0.9, 1.1), st.floats(0.9, 1.1))
def test_noise_gain_and_gamma_are_no_banding(seed, noise, gain, gamma):
    for reference in (RAMP, picture(seed)):
        random = np.random.default_rng(seed).standard_normal(reference.shape)
        candidate = gain * reference**gamma + noise * random
        assert tones.banding(reference, candidate.astype(np.float32)) < 0.75


def test_few_levels_tell_nothing_of_banding():
    flat = np.full((64, 64, 3), 0.5, np.float32)
    assert tones.banding(flat, flat + 0.1) == 0


def test_samples_reach_every_phase_of_a_pixel_shuffle():
    rows, columns = np.indices((600, 700))
    for factor in (2, 4):
        phase = (rows % factor * factor + columns % factor)[..., None]
        seen = tones.sampled(phase)
        assert seen.size < phase.size / 4
        assert len(np.unique(seen)) == factor**2
    assert tones.sampled(np.zeros((64, 80, 3))).shape == (64, 80, 3)
