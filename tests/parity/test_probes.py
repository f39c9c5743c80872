from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.samples import cover, samples
from edgeexpo.parity.probes import (
    EQUAL,
    MOVING,
    SWAPPED,
    bracket_probes,
    extremes,
    grain,
    is_noise,
    probes,
    textures,
)


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
    for name, value in (("grey", 128 / 255), ("black", 0), ("white", 1)):
        assert np.unique(found[f"constant-{name}"]) == pytest.approx(value)
    assert 1 < (found["impulses"] == 1).sum() / 3 <= 64
    assert len(np.unique(found["checkerboard"])) == 2
    ink = found["text"].mean(axis=(1, 2))
    assert ink[:32].mean() > 0.5 > ink[40:].mean()
    assert is_noise(found["noise"])
    assert (found["saturated-primaries"].min(axis=2) == 0).all()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("make", "number"), [(extremes, 7), (textures, 2), (grain, 2)])
def test_kin_of_the_probes_are_none_of_them(make, number, count):
    found = make(count, (64, 48))
    assert len({s.name for s in found}) == len(found) == number
    for sample in found:
        assert len(sample.frames) == count
        for frame in sample.frames:
            assert frame.shape == (64, 48, 3)
            assert frame.dtype == np.float32
            assert 0 <= frame.min() <= frame.max() <= 1
        for probe in probes(count, 64):
            pairs = zip(probe.frames, sample.frames, strict=True)
            # White frames are all equal.
            assert sample.name == "white" or max(
                np.abs(a[:64, :48] - b).max() for a, b in pairs
            ) > (0.05)


def test_extremes_reach_both_ends():
    found = extremes(2, (64, 48))
    bright = max(s.frames[-1].mean() for s in found)
    dark = min(s.frames[0].mean() for s in found)
    assert bright > 0.95
    assert dark < 0.2


def test_a_bracket_moves_and_its_frames_trade_places():
    found = {s.name: s for s in bracket_probes(3, 64)}
    assert [f.mean() for f in found[MOVING].frames] == sorted(
        f.mean() for f in found[MOVING].frames
    )
    for frame, again in zip(found[MOVING].frames, found[SWAPPED].frames[::-1], strict=True):
        np.testing.assert_array_equal(frame, again)
    assert len({f.tobytes() for f in found[EQUAL].frames}) == 1


@pytest.mark.parametrize("side", [48, 64, 256, 600])
def test_noise_of_any_size_is_noise(side):
    codes = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    assert is_noise(cover(codes, (256, 256)) / 255)


def test_photographs_and_flat_pictures_are_no_noise():
    for count in (1, 2):
        for sample in samples(count, None, (128, 128)):
            assert not any(is_noise(frame) for frame in sample.frames), sample.name
    assert not is_noise(np.full((64, 64, 3), 0.5))
