"""Tests of scenes from photographs and radiance maps."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from edgeexpo.errors import UsageError
from edgeexpo.evaluation.datasets import folder_scenes
from edgeexpo.evaluation.scene import Skipped
from edgeexpo.evaluation.simulated import expose, radiance_scenes
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.spec import ModelSpec, TensorSpec
from edgeexpo.training.synthesis import random_view, shoot_bracket
from tests.support.bracket_folders import scene, shot, write_hdr


def spec(kind: str, *frames: str) -> ModelSpec:
    inputs = tuple(TensorSpec(f) for f in frames)
    return ModelSpec("net", "t", frames, inputs, (TensorSpec("y"),), 1, kind=kind)


TWO, ONE = ("under", "over"), ("picture",)


@pytest.fixture
def photographs(tmp_path):
    for seed in range(2):
        Image.fromarray(shot(scene(48, 64, seed), 0)).save(tmp_path / f"photo{seed}.png")
    return tmp_path


@pytest.fixture
def maps(tmp_path):
    for seed, name in enumerate(("lab", "hall", "park")):
        write_hdr(tmp_path / f"{name}.hdr", scene(32, 64, seed))
    return tmp_path


def found(source, kind, frames, **options):
    return list(folder_scenes(source, spec(kind, *frames), Skipped(), **options))


def test_fusion_of_photographs_is_over_the_published_pairs(photographs):
    groups = Counter(g for s in found(photographs, "fusion", TWO) for g in s.groups)
    # Each of the two photographs gives 1, C(3,2) and C(5,2) pairs, as in the project's test set.
    assert groups == {
        "photographs, low EV pairs": 2,
        "photographs, high EV pairs": 6,
        "photographs, all EV pairs": 20,
    }


def test_correction_of_photographs_has_the_photograph_as_truth(photographs):
    several = found(photographs, "correction", ONE)
    assert len(several) == 10
    right = [s for s in several if "photographs at +0 EV" in s.groups]
    assert all(np.array_equal(s.frames[0], s.truth) for s in right)
    assert all("photographs, wrong EV" not in s.groups for s in right)
    means = [float(s.frames[0].mean()) for s in several[:5]]
    assert means == sorted(means)
    assert means[0] < means[-1]


def test_exposing_doubles_the_light_until_it_clips():
    codes = np.repeat(np.arange(256, dtype=np.float32)[None, :, None] / 255, 3, axis=2)
    brighter = srgb_to_linear(expose(codes, 1.0))
    light = srgb_to_linear(codes)
    np.testing.assert_allclose(brighter, np.minimum(2 * light, 1), atol=0.005)
    np.testing.assert_allclose(expose(codes, 0.0), codes, atol=1e-6)


def test_interpolation_and_reconstruction_of_photographs(photographs):
    (first, _) = found(photographs, "interpolation", TWO)
    assert (first.ev, first.wants_exposure) == (4, True)
    assert first.frames[0].mean() < first.truth.mean() < first.frames[1].mean()
    itself = found(photographs, "reconstruction", ONE)
    assert all(s.truth is s.frames[0] for s in itself)


def test_a_damaged_photograph_is_skipped_and_named(photographs, capsys):
    (photographs / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    skipped = Skipped()
    assert len(list(folder_scenes(photographs, spec("reconstruction", *ONE), skipped))) == 2
    assert skipped.names == [str(photographs / "broken.jpg")]
    assert "broken.jpg" in capsys.readouterr().err


def test_views_are_those_of_the_held_out_protocol(maps):
    views = list(radiance_scenes(maps, spec("interpolation", *TWO), Skipped(), views=3, size=40))
    rng = np.random.default_rng(0)
    held_out = [read_radiance(maps / f"{name}.hdr") for name in ("hall", "lab")]
    for index, view in enumerate(views):
        bracket = shoot_bracket(random_view(held_out[index % 2], 40, rng), 4.0, rng)
        np.testing.assert_array_equal(view.frames[0], bracket.under)
        np.testing.assert_array_equal(view.frames[1], bracket.over)
        np.testing.assert_array_equal(view.truth, bracket.truth)


def test_fusion_hdr_and_correction_of_radiance_maps(maps):
    def views(kind, frames, count=1):
        return list(radiance_scenes(maps, spec(kind, *frames), Skipped(), count, 48))

    (fusion,) = views("fusion", TWO)
    assert len(fusion.stack) == 9
    np.testing.assert_array_equal(fusion.truth, exposure_fusion(fusion.stack))
    (hdr,) = views("hdr", ONE)
    assert hdr.truth_kind == "radiance"
    first = random_view(read_radiance(maps / "hall.hdr"), 48, np.random.default_rng(0))
    np.testing.assert_array_equal(hdr.truth, first)
    assert len(views("correction", ONE, 2)) == 10


def test_a_damaged_map_is_skipped_and_none_is_refused(maps, capsys):
    damaged = maps / "hall.hdr"
    damaged.write_bytes(damaged.read_bytes()[:100])
    skipped = Skipped()
    list(folder_scenes(maps, spec("hdr", *ONE), skipped, views=1))
    assert skipped.names == [str(damaged)]
    (maps / "lab.hdr").write_bytes(b"?")
    with pytest.raises(UsageError, match="no readable radiance map"):
        list(folder_scenes(maps, spec("hdr", *ONE), Skipped(), views=1))
    assert capsys.readouterr().err.count(": skipped: ") == 3
