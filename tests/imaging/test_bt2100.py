"""Tests of PQ and HLG against the levels that ITU-R BT.2408 and BT.2100 print."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.bt2100 import bt709_to_bt2020, encoded, hlg, pq


@pytest.mark.parametrize(
    ("nits", "signal"),
    [(0, 0.0), (100, 0.508), (203, 0.58), (1000, 0.752), (4000, 0.903), (10_000, 1)],
)
def test_pq_has_the_levels_of_the_report(nits, signal):
    assert float(pq(nits)) == pytest.approx(signal, abs=1e-3)


@pytest.mark.parametrize(("light", "signal"), [(0, 0), (1 / 12, 0.5), (0.265, 0.75), (1, 1)])
def test_hlg_has_the_levels_of_the_report(light, signal):
    assert float(hlg(light)) == pytest.approx(signal, abs=6e-4)


def test_curves_rise_and_join():
    light = np.linspace(0, 1, 4097, dtype=np.float32)
    for curve in (hlg(light), pq(light * 10_000)):
        assert (np.diff(curve) > 0).all()
        assert np.diff(curve)[200:].max() < 0.002


def test_white_stays_white_and_primaries_move_inwards():
    np.testing.assert_allclose(bt709_to_bt2020(np.ones((1, 1, 3), np.float32)), 1, atol=1e-6)
    # Pure red of BT.709 in BT.2020 is the first column of the matrix that BT.2087 prints.
    red = bt709_to_bt2020(np.float32([[[1, 0, 0]]]))
    np.testing.assert_allclose(red[0, 0], [0.6274, 0.0691, 0.0164], atol=1e-4)


def test_radiance_is_shown_at_its_peak():
    picture = np.float32([[[0, 0, 0], [0.203, 0.203, 0.203], [2, 2, 2]]])
    shown = encoded(picture, "pq", 1000)
    np.testing.assert_allclose(shown[0, :, 0], [0, 0.58, 0.752], atol=1e-3)
    assert encoded(picture, "hlg", 1000).max() == pytest.approx(1, abs=1e-6)
