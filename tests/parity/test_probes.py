from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.parity.probes import extremes, probes


def test_probes_are_seeded_pictures_in_range():
    for first, second in zip(probes(2, 64), probes(2, 64), strict=True):
        assert first.name == second.name
        for frame, again in zip(first.frames, second.frames, strict=True):
            np.testing.assert_array_equal(frame, again)
            assert frame.shape == (64, 64, 3)
            assert frame.dtype == np.float32
            assert 0 <= frame.min() <= frame.max() <= 1


def test_frames_go_from_dark_to_bright():
    for probe in probes(3, 64):
        means = [float(f.mean()) for f in probe.frames]
        assert means == sorted(means)
        assert probe.ev == 4.0


def test_every_kind_of_trouble_is_there():
    found = {p.name: p.frames[0] for p in probes(1, 64)}
    assert found["near-black"].max() < 0.08
    assert (found["blown-highlights"] == 1).mean() > 0.1
    assert len(np.unique(found["constant-grey"])) == 1
    assert (found["saturated-primaries"].min(axis=2) == 0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_extremes_are_kin_of_the_probes_and_none_of_them(count):
    found = extremes(count, (64, 48))
    assert len({s.name for s in found}) == len(found) == 7
    for sample in found:
        assert len(sample.frames) == count
        for frame in sample.frames:
            assert frame.shape == (64, 48, 3)
            assert frame.dtype == np.float32
            assert 0 <= frame.min() <= frame.max() <= 1
        for probe in probes(count, 64):
            pairs = zip(probe.frames, sample.frames, strict=True)
            assert max(np.abs(a[:64, :48] - b).max() for a, b in pairs) > 0.05
    bright = max(s.frames[-1].mean() for s in found)
    dark = min(s.frames[0].mean() for s in found)
    assert bright > 0.95
    assert dark < 0.2
