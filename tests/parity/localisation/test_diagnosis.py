"""Every explanation is found for a value that was damaged in exactly that way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.parity.localisation.diagnosis import Evidence, diagnose
from edgeexpo.parity.localisation.trace import Grid

RNG = np.random.default_rng(0)
VALUE = RNG.standard_normal((1, 8, 16, 16)).astype(np.float32)
BIAS = np.linspace(-1, 2, 8).astype(np.float32)
GRID = Grid(0.05, 10, -128, 127)


def evidence(found, expected=VALUE, **more):
    allowed = np.full(found.shape[1], 1e-3)
    return Evidence(np.asarray(found, np.float32), expected, allowed, **more)


def replaced(place, value):
    found = VALUE.copy()
    found[place] = value
    return found


def bordered():
    found = VALUE.copy()
    found[:, :, 0] += 0.5
    found[:, :, :, -1] -= 0.5
    return found


CASES = {
    "not a number": (replaced((0, 0, 3, 3), np.nan), {}),
    "overflow: infinite in 1 of 2048": (replaced((0, 0, 3, 3), np.inf), {}),
    "every value is 0": (np.zeros_like(VALUE), {}),
    "columns are mirrored": (VALUE[..., ::-1], {}),
    "rows and columns are transposed": (VALUE.swapaxes(2, 3), {}),
    "NHWC data is read as NCHW": (VALUE.transpose(0, 2, 3, 1).reshape(VALUE.shape), {}),
    "channels 2 and 5 are swapped": (VALUE[:, [0, 1, 5, 3, 4, 2, 6, 7]], {}),
    "8 channels are in another order": (VALUE[:, ::-1], {}),
    "padding: only the outer 1 pixel differ": (bordered(), {}),
    "shifted by a pixel (down)": (np.roll(VALUE, 1, 2), {}),
    "shifted by half a pixel (right)": ((np.roll(VALUE, 1, 3) + VALUE) / 2, {}),
    "output channel 3 alone: the bias differs by 0.7": (
        replaced((0, 3), VALUE[0, 3] + 0.7),
        {},
    ),
    "output channel 3 alone: the weights' scale is off by a factor of 1.3": (
        replaced((0, 3), VALUE[0, 3] * 1.3),
        {},
    ),
    "output channel 3 alone: the weights differ": (replaced((0, 3), VALUE[0, 4] ** 2), {}),
    "the bias is missing": (VALUE - BIAS.reshape(1, -1, 1, 1), {"bias": BIAS}),
    "another constant is added to every channel": (VALUE + BIAS.reshape(1, -1, 1, 1), {}),
    "every channel has a scale of its own": (
        VALUE * np.linspace(0.8, 1.2, 8).reshape(1, -1, 1, 1),
        {},
    ),
    "the weights are off by a factor of 0.9, the bias is not": (
        0.9 * (VALUE - BIAS.reshape(1, -1, 1, 1)) + BIAS.reshape(1, -1, 1, 1),
        {},
    ),
    "a constant of 0.15 (3 steps) is added": (VALUE + 0.15, {"grid": GRID, "stored": GRID}),
    "the scale is off by a factor of 1.01": (VALUE * 1.01, {}),
    "saturation": (np.clip(VALUE, -1, 1), {}),
    "the values differ (correlation": (RNG.standard_normal(VALUE.shape), {}),
}


@pytest.mark.parametrize("words", CASES)
def test_each_mistake_is_named(words):
    found, more = CASES[words]
    assert words in diagnose(evidence(found, **more))


def test_overflow_of_half_precision_is_named():
    expected = VALUE.copy()
    expected[0, 0, 0, 0] = 70000
    found = expected.copy()
    found[0, 0, 0, 0] = np.inf
    assert "fp16 overflow: infinite in 1 of 2048 values; the program reaches 7e+04" in diagnose(
        evidence(found, expected)
    )


def test_a_missing_activation_is_named():
    expected = np.maximum(VALUE, 0)
    assert "the activation is missing" in diagnose(evidence(VALUE, expected))


@given(factor=st.floats(1.01, 3), bias=st.integers(-20, 20).filter(bool))
@settings(max_examples=30, deadline=None)
def test_a_stored_grid_is_compared_with_the_programs(factor, bias):
    scaled = Grid(GRID.scale * factor, GRID.zero_point, GRID.low, GRID.high)
    moved = Grid(GRID.scale, GRID.zero_point + bias, GRID.low, GRID.high)
    same = VALUE + 0
    assert f"scale is off by a factor of {factor:.4g}" in diagnose(
        evidence(same, grid=GRID, stored=scaled)
    )
    assert f"zero point is off by {abs(bias)} steps" in diagnose(
        evidence(same, grid=GRID, stored=moved)
    )


def test_unsigned_codes_express_the_same_numbers():
    assert Grid(0.05, 138, 0, 255).is_like(GRID)
    assert not Grid(0.05, 137, 0, 255).is_like(GRID)
