import numpy as np
import pytest

from edgeexpo.errors import UsageError
from edgeexpo.training import scenes
from edgeexpo.training.store import make

KINDS = {
    "interpolation": {"y0", "truth"},
    "fusion": {"under", "over", "near", "far", "truth"},
    "correction": {"picture", "truth"},
    "expansion": {"picture", "truth"},
}


@pytest.fixture(scope="module")
def sources(data_folder):
    return scenes.read_sources(data_folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_repeats_with_its_seed(sources, kind):
    first, again, other = (
        scenes.MAKERS[kind](sources, 48, np.random.default_rng([0, index])) for index in (1, 1, 2)
    )
    assert set(first) == KINDS[kind]
    for name, tensor in first.items():
        assert tensor.shape == (48, 48, 3)
        np.testing.assert_array_equal(tensor, again[name])
    assert (first["truth"] != other["truth"]).any()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shots_are_the_frames_of_a_network_darkest_first(sources, count):
    make = scenes.maker(f"shots-{count}")
    first, again, other = (make(sources, 48, np.random.default_rng([0, i])) for i in (1, 1, 2))
    assert list(first) == [f"frame{i}" for i in range(count)]
    means = [frame.mean() for frame in first.values()]
    assert means == sorted(means)
    for name, frame in first.items():
        assert (frame.shape, frame.dtype) == ((48, 48, 3), np.uint8)
        np.testing.assert_array_equal(frame, again[name])
        assert (frame != other[name]).any()


def test_scenes_without_a_truth_use_every_photograph(data_folder):
    every, some = (scenes.read_sources(data_folder, held_out=h) for h in (None, False))
    assert len(every.photographs) == 6 > len(some.photographs)
    assert set(every.maps) == set(some.maps)


def test_the_embedded_photographs_are_sources():
    scene = scenes.embedded_sources().part(32, np.random.default_rng(0))
    assert scene.shape == (32, 32, 3)


def test_fusion_frames_are_in_order_and_the_truth_is_between(sources):
    for seed in range(4):
        scene = scenes.fusion(sources, 48, np.random.default_rng(seed))
        means = {k: v.mean() / np.iinfo(v.dtype).max for k, v in scene.items()}
        assert means["under"] <= means["near"] < means["far"] <= means["over"]
        assert means["under"] < means["truth"] < means["over"]


def test_best_fusion_takes_the_best_by_mef_ssim(monkeypatch, sources):
    radiance = sources.scene(64, np.random.default_rng(0))
    stack = [np.clip(radiance * 2.0**ev, 0, 1) for ev in (-2, 0, 2)]
    scores = iter([0.1, 0.2, 0.9, 0.3])
    monkeypatch.setattr(scenes, "MefReference", lambda frames: lambda fused: next(scores))
    np.testing.assert_array_equal(scenes.best_fusion(stack, radiance), scenes.drago(radiance))


def test_well_exposed_corrections_are_given_back(sources):
    equal = 0
    for seed in range(30):
        scene = scenes.correction(sources, 32, np.random.default_rng(seed))
        equal += np.abs(scene["picture"].astype(int) - scene["truth"]).mean() < 4
    assert 1 <= equal <= 15


def test_expansion_keeps_what_the_picture_clips(sources):
    clipped = 0
    for seed in range(8):
        scene = scenes.expansion(sources, 48, np.random.default_rng(seed))
        assert scene["truth"].dtype == np.float16
        white = (scene["picture"] == 255).all(axis=2)
        clipped += white.sum()
        assert (
            scene["truth"][white].max(axis=1, initial=0) >= 0.9 / scenes.RADIANCE_HEADROOM
        ).all()
    assert clipped > 0


def test_held_out_pictures_are_apart(data_folder):
    training, evaluation = (scenes.read_sources(data_folder, h) for h in (False, True))
    assert set(training.maps) == {"first", "second"}
    assert set(evaluation.maps) == {"lab"}
    assert not set(training.photographs) & set(evaluation.photographs)
    assert len(training.photographs) + len(evaluation.photographs) == 6


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        scenes.read_sources(tmp_path / "none")
    with pytest.raises(UsageError, match=r"no \.hdr map and no photograph"):
        scenes.read_sources(tmp_path)


def test_making_scenes_goes_on_where_it_stopped(tmp_path, sources, monkeypatch):
    whole = make(sources, "correction", tmp_path / "a", count=20, size=16, seed=0)
    calls = []
    original = scenes.MAKERS["correction"]

    def failing(given, size, rng):
        calls.append(1)
        if len(calls) == 19:
            raise KeyboardInterrupt
        return original(given, size, rng)

    monkeypatch.setattr(scenes, "MAKERS", {"correction": failing})
    with pytest.raises(KeyboardInterrupt):
        make(sources, "correction", tmp_path / "b", count=20, size=16, seed=0)
    resumed = make(sources, "correction", tmp_path / "b", count=20, size=16, seed=0)
    assert len(calls) == 19 + 4
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(tensor, resumed.tensors[name])


def test_scenes_of_another_plan_are_refused(tmp_path, sources):
    make(sources, "correction", tmp_path, count=2, size=16, seed=0)
    with pytest.raises(UsageError, match="name another"):
        make(sources, "correction", tmp_path, count=2, size=16, seed=1)


def test_scenes_that_need_what_is_not_there_say_so(tmp_path, data_folder):
    rng = np.random.default_rng(0)
    maps = scenes.read_sources(data_folder / "hdri")
    with pytest.raises(UsageError, match="learns from photographs"):
        maps.part(16, rng)
    pictures = scenes.read_sources(data_folder / "photos")
    with pytest.raises(UsageError, match="learns from radiance maps"):
        scenes.expansion(pictures, 16, rng)
