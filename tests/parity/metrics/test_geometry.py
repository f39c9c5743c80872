from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.parity.metrics import geometry
from edgeexpo.parity.metrics.geometry import CHANNEL_ORDERS, ORIENTATIONS
from edgeexpo.parity.probes import bracket_probes, probes


def scene(side=128):
    return bracket_probes(2, side)[-1].frames[0]


def moved(picture, dy, dx):
    """Return the picture displaced by a phase in frequency, which is exact if it is periodic."""
    v = np.fft.fftfreq(picture.shape[0])[:, None, None]
    u = np.fft.fftfreq(picture.shape[1])[None, :, None]
    spectrum = np.fft.fft2(picture, axes=(0, 1)) * np.exp(-2j * np.pi * (v * dy + u * dx))
    return np.fft.ifft2(spectrum, axes=(0, 1)).real.astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 0.3))
def test_a_displacement_is_measured_below_the_pixel(dy, dx, noise):
    """The noise is a share of the change that the displacement itself causes."""
    displaced = moved(scene(256), dy, dx)
    deviation = noise * float(np.std(displaced - scene(256)))
    random = np.random.default_rng(0).standard_normal(displaced.shape)
    candidate = displaced + (deviation * random).astype(np.float32)
    expected = float(np.hypot(dy, dx))
    assert geometry.pixel_shift(scene(256), candidate) == pytest.approx(expected, abs=0.15, rel=0.1)


def test_noise_moves_no_probe():
    random = np.random.default_rng(0)
    for probe in probes(1, 128):
        frame = probe.frames[0]
        noise = 0.008 * random.standard_normal(frame.shape).astype(np.float32)
        assert geometry.pixel_shift(frame, frame + noise) < 0.1, probe.name


def test_a_constant_candidate_has_no_place():
    assert geometry.pixel_shift(scene(), np.full_like(scene(), 0.5)) == 0
    assert geometry.pixel_shift(np.full_like(scene(), 0.5), scene()) == 0


def test_another_scale_moves_the_corners():
    tensor = torch.from_numpy(scene(300).transpose(2, 0, 1)[None].copy())
    small = torch.nn.functional.interpolate(tensor, (150, 150), mode="area")
    views = [
        torch.nn.functional.interpolate(small, (300, 300), mode="bilinear", align_corners=corners)
        for corners in (False, True)
    ]
    reference, candidate = (v[0].permute(1, 2, 0).numpy() for v in views)
    assert geometry.pixel_shift(reference, candidate) > 0.2


@pytest.mark.parametrize("side", [(96, 96), (96, 130)])
def test_every_orientation_is_known(side):
    picture = scene(160)[: side[0], : side[1]]
    views = [np.rot90(v, k) for v in (picture, picture[:, ::-1]) for k in range(4)]
    for index, (view, words) in enumerate(zip(views, ORIENTATIONS, strict=True)):
        if view.shape == picture.shape:
            assert geometry.orientation(picture, view) == index, words
    np.testing.assert_array_equal(views[5], picture.swapaxes(0, 1))
    np.testing.assert_array_equal(views[6], picture[::-1])


@pytest.mark.parametrize("order", CHANNEL_ORDERS)
def test_every_channel_order_is_known(order):
    colours = probes(1, 64)[4].frames[0]
    index = CHANNEL_ORDERS.index(order)
    assert geometry.channel_order(colours, colours[..., order]) == index


def test_noise_and_grey_are_upright_and_in_order():
    random = np.random.default_rng(0)
    for probe in probes(1, 64):
        frame = probe.frames[0]
        candidate = frame + 0.02 * random.standard_normal(frame.shape).astype(np.float32)
        assert geometry.orientation(frame, candidate) == 0, probe.name
        assert geometry.channel_order(frame, candidate) == 0, probe.name


def test_a_broken_border_is_told_from_noise():
    picture = scene()
    random = np.random.default_rng(0).standard_normal(picture.shape)
    noisy = picture + (0.01 * random).astype(np.float32)
    assert abs(geometry.border_excess(picture, noisy)) < 0.3
    broken = noisy.copy()
    broken[:2] = 0
    assert geometry.border_excess(picture, broken) > 10
    assert geometry.border_excess(picture[:6, :6], broken[:6, :6]) == 0
