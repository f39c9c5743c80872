from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeexpo.errors import UsageError
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.samples import EMBEDDED, EXPOSURE_ERRORS, samples


@pytest.fixture
def folder(tmp_path):
    """Create a folder of twenty grey photographs and a bracket of three frames."""
    for index in range(20):
        Image.new("RGB", (40, 30), (60, 60, 60)).save(tmp_path / f"{index:02}.png")
    (tmp_path / "bracket").mkdir()
    for index, grey in enumerate((200, 20, 90)):
        Image.new("RGB", (40, 30), (grey,) * 3).save(tmp_path / "bracket" / f"{index}.png")
    return tmp_path


def exposure(sample) -> float:
    """Return the EV of the sample's frame relative to its truth."""
    frame, truth = (
        srgb_to_linear(p).mean(dtype=np.float64) for p in (*sample.frames, sample.truth)
    )
    return float(np.log2(frame / truth))


def test_single_frames_are_wrongly_exposed_and_the_photograph_is_the_truth(folder):
    found = [s for s in samples(1, folder) if s.truth is not None]
    assert len(found) == 20
    evs = [exposure(s) for s in found]
    nearest = [min(EXPOSURE_ERRORS, key=lambda e, ev=ev: abs(e - ev)) for ev in evs]
    np.testing.assert_allclose(evs, nearest, atol=0.05)
    assert set(nearest) == set(EXPOSURE_ERRORS)
    for sample in found:
        np.testing.assert_allclose(sample.truth, 60 / 255, atol=1e-6)
        assert sample.ev is None
        assert sample.frames[0].dtype == np.float32


def test_a_bracket_gives_one_frame_as_it_is(folder):
    (sample,) = [s for s in samples(1, folder) if s.name == "bracket"]
    np.testing.assert_allclose(sample.frames[0], 20 / 255, atol=1e-6)
    assert sample.truth is None


def test_the_seed_decides_and_other_photographs_do_not(folder):
    first, again, other = (samples(1, folder, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.frames[0], b.frames[0])
    assert any(
        not np.array_equal(a.frames[0], c.frames[0]) for a, c in zip(first, other, strict=True)
    )
    (folder / "00.png").unlink()
    kept = {s.name: s for s in samples(1, folder, seed=3)}
    np.testing.assert_array_equal(kept["07.png"].frames[0], first[7].frames[0])


def test_two_frames_are_four_ev_apart_around_the_truth(folder):
    found = samples(2, folder, size=(24, 32))
    brackets = [s for s in found if s.truth is None]
    assert [s.name for s in brackets] == ["bracket"]
    np.testing.assert_allclose(
        [f.mean() for f in brackets[0].frames], [20 / 255, 200 / 255], atol=1e-6
    )
    for sample in found:
        under, over = sample.frames
        assert under.shape == over.shape == (24, 32, 3)
        if sample.truth is not None:
            assert sample.ev == 4
            assert under.mean() < sample.truth.mean() < over.mean()


def test_the_embedded_photographs_come_at_several_exposures():
    found = samples(1, None, (64, 64), seed=1)
    assert tuple(s.name for s in found) == EMBEDDED
    evs = [s.frames[0].mean() / s.truth.mean() for s in found]
    assert min(evs) < 0.8
    assert max(evs) > 1.2


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has no picture"):
        samples(1, tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        samples(1, tmp_path / "none")
