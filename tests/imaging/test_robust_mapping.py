"""Tests of the intensity mapping between frames of which some pixels show something else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.imaging.mapping import exposure_mapping
from edgeexpo.imaging.response import random_response, render
from edgeexpo.imaging.robust_mapping import robust_mapping, slopes


def pixels(seed: int, ev: float, channels=(1.0, 1.0, 1.0)):
    """Return two exposures of 20000 radiances, (N, 3) each, and the camera's response."""
    rng = np.random.default_rng(seed)
    table = random_response(rng)
    radiance = rng.random((1, 20000, 3)) ** 2 * np.array(channels)
    frames = [np.rint(render(radiance * 2.0**e, table)[0] * 255) / 255 for e in (0, ev)]
    return *(frame.astype(np.float32) for frame in frames), table


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), ev=st.sampled_from([-3.0, -1.0, 1.0, 3.0]))
def test_the_mapping_of_a_known_camera_is_found(seed, ev):
    source, target, table = pixels(seed, ev)
    found = robust_mapping(source, target)
    true = exposure_mapping(table, ev)
    assert np.abs(found.imf - true)[8:248].max() < 6 / 255
    assert np.diff(found.imf, axis=0).min() >= 0
    assert found.uncertainty.min() >= 0


def test_codes_that_one_channel_lacks_come_from_the_others():
    source, target, table = pixels(0, -1.0, channels=(0.05, 1, 1))
    assert source[:, 0].max() < 0.5
    found = robust_mapping(source, target)
    true = exposure_mapping(table, -1.0)
    assert np.abs(found.imf - true)[150:240, 0].max() < 6 / 255
    assert found.uncertainty[200, 0] > 2 * found.uncertainty[200, 1]


def test_codes_that_no_channel_has_keep_what_is_assumed():
    source, target, table = pixels(0, -1.0, channels=(0.05, 0.05, 0.05))
    true = exposure_mapping(table, -1.0)
    found = robust_mapping(source, target, true)
    assert found.imf[200:] == pytest.approx(true[200:], abs=2 / 255)
    assert found.uncertainty[200].min() > 4 * found.uncertainty[30].max()


def test_one_channel_does_not_run_away_from_the_others():
    source, target, _ = pixels(0, -1.0)
    target[:, 0] = 1
    found = robust_mapping(source, target)
    assert np.ptp(found.imf[20:240], axis=1).max() < 0.15


def test_the_slope_of_a_line_is_its_factor():
    line = np.linspace(0, 0.5, 256)[:, None].repeat(3, axis=1)
    assert slopes(line) == pytest.approx(np.full((256, 3), 0.5))
