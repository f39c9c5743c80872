"""Tests of bracket folders: order, EVs, truth, choice of frames, and refused folders."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.evaluation.brackets import bracket_scenes, is_one_bracket, read_bracket
from edgeexpo.evaluation.datasets import content, folder_scenes
from edgeexpo.evaluation.scene import Skipped
from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.imaging.files import write_picture
from edgeexpo.spec import ModelSpec, TensorSpec
from tests.support.bracket_folders import scene, shot, write_bracket, write_exposures


def spec(kind: str = "fusion", frames: tuple[str, ...] = ("under", "over")) -> ModelSpec:
    return ModelSpec(
        name="net",
        task="t",
        frames=frames,
        inputs=tuple(TensorSpec(f) for f in frames),
        outputs=(TensorSpec("y"),),
        halo=1,
        kind=kind,
    )


def found(source, *arguments):
    return list(bracket_scenes(source, spec(*arguments), Skipped()))


def test_with_a_reference_the_extremes_go_in(tmp_path):
    write_bracket(tmp_path / "a", [-1, 2, -3, 0], reference=True)
    (one,) = found(tmp_path)
    darkest, brightest = (shot(scene(48, 64), ev) / np.float32(255) for ev in (-3, 2))
    np.testing.assert_array_equal(one.frames[0], darkest)
    np.testing.assert_array_equal(one.frames[1], brightest)
    np.testing.assert_array_equal(one.truth, shot(scene(48, 64), 0) / np.float32(255))
    assert (one.name, one.groups, one.truth_kind) == ("a", ("brackets, reference",), "reference")
    assert one.ev is None
    assert len(one.given) == len(one.stack) == 4
    means = [float(f.mean()) for f in one.given]
    assert means == sorted(means)


def test_without_one_the_middle_frame_is_held_out(tmp_path):
    write_bracket(tmp_path / "a", [-2, -1, 0, 1, 2])
    (one,) = found(tmp_path)
    np.testing.assert_array_equal(one.truth, shot(scene(48, 64), 0) / np.float32(255))
    assert (len(one.given), len(one.stack)) == (4, 5)
    assert one.truth_kind == "middle frame"
    assert one.wants_exposure


def test_exposures_json_gives_order_and_ev(tmp_path):
    write_bracket(tmp_path / "a", [2, -2, 0], names=["x.png", "y.png", "z.png"])
    evs = {"x.png": 2.0, "y.png": -2.0, "z.png": 0}
    write_exposures(tmp_path, {"a": [{"file": f, "ev": ev} for f, ev in evs.items()]})
    (one,) = found(tmp_path)
    assert one.ev == 4
    assert one.frames[0].mean() < one.truth.mean() < one.frames[1].mean()


def test_exif_gives_order_and_ev(tmp_path):
    write_bracket(tmp_path / "a", [1, -1.5, 0], exif=True)
    bracket = read_bracket(tmp_path / "a", None, Skipped())
    assert bracket.files == ("1.jpg", "2.jpg", "0.jpg")
    assert np.ptp(bracket.evs) == pytest.approx(2.5, abs=1e-3)


@pytest.mark.parametrize(("evs", "held_out"), [([-2, -1, 2], False), ([-2, 0.2, 2], True)])
def test_a_frame_far_from_half_way_is_no_truth(tmp_path, evs, held_out):
    write_bracket(tmp_path / "a", evs)
    listed = [{"file": f"{i}.png", "ev": ev} for i, ev in enumerate(evs)]
    write_exposures(tmp_path, {"a": listed})
    (one,) = found(tmp_path)
    assert one.truth_kind == ("middle frame" if held_out else "none")
    assert len(one.given) == (2 if held_out else 3)


def test_networks_of_one_frame_get_every_frame(tmp_path):
    write_bracket(tmp_path / "a", [-2, 0, 2], reference=True)
    several = found(tmp_path, "correction", ("picture",))
    assert [s.name for s in several] == ["a/0.png", "a/1.png", "a/2.png"]
    assert all(len(s.frames) == 1 and s.truth_kind == "reference" for s in several)
    itself = found(tmp_path, "reconstruction", ("picture",))
    assert all(s.truth is s.frames[0] for s in itself)


def test_networks_of_three_frames_get_them_evenly_spaced(tmp_path):
    write_bracket(tmp_path / "a", [-4, -3, 0, 3, 4], reference=True)
    (one,) = found(tmp_path, "fusion", ("a", "b", "c"))
    np.testing.assert_array_equal(one.frames[1], one.given[2])


def test_a_damaged_frame_is_left_out_and_named(tmp_path, capsys):
    write_bracket(tmp_path / "a", [-2, 0, 2, 3], reference=True)
    damaged = tmp_path / "a" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    write_bracket(tmp_path / "b", [-2, 0, 2], reference=True)
    (tmp_path / "b" / "reference.png").write_bytes(b"no picture")
    skipped = Skipped()
    (one,) = bracket_scenes(tmp_path, spec(), skipped)
    assert len(one.stack) == 3
    assert skipped.names == [str(damaged), str(tmp_path / "b" / "reference.png")]
    err = capsys.readouterr().err
    assert err.count("skipped: ") == 2
    assert str(damaged) in err


def test_frames_of_different_sizes_are_refused(tmp_path):
    write_bracket(tmp_path / "a", [-2, 0, 2])
    write_bracket(tmp_path / "other", [3], size=(48, 65), names=["big.png"])
    (tmp_path / "other" / "big.png").rename(tmp_path / "a" / "big.png")
    with pytest.raises(PictureError, match=r"bracket a: big.png is 48x65 \(HxW\), 0.png is 48x64"):
        found(tmp_path)


def test_too_few_frames_are_refused(tmp_path):
    write_bracket(tmp_path / "a", [0], reference=True)
    with pytest.raises(UsageError, match=r"bracket a has 1 frame.* net takes 2: under, over"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"file": "0.png"}], "gives a/0.png the EV None; expected a number"),
        ([{"file": "9.png", "ev": 0}], "names '9.png', which"),
        ([{"file": "0.png", "ev": "bright"}], "the EV 'bright'"),
        (
            [{"file": f"{i}.png", "ev": ev} for i, ev in enumerate([2, 0, -2])],
            "1.png should be 2.0 EV brighter than 2.png and is darker",
        ),
    ],
)
def test_exposures_that_contradict_the_folder_are_refused(tmp_path, entries, message):
    write_bracket(tmp_path / "a", [-2, 0, 2])
    write_exposures(tmp_path, {"a": entries})
    with pytest.raises(UsageError, match=message):
        found(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_unreadable_exposures_are_refused(tmp_path, text):
    write_bracket(tmp_path / "a", [-2, 0, 2])
    (tmp_path / "exposures.json").write_text(text)
    with pytest.raises(UsageError, match=r"exposures.json"):
        found(tmp_path)


def test_what_a_folder_holds(tmp_path):
    with pytest.raises(UsageError, match="no folder at"):
        content(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match="has no picture"):
        content(tmp_path)
    (tmp_path / "photo.jpg").touch()
    assert content(tmp_path) == "photographs"
    (tmp_path / "map.hdr").touch()
    assert content(tmp_path) == "radiance maps"
    write_bracket(tmp_path / "a", [-2, 2])
    assert content(tmp_path) == "brackets"
    with pytest.raises(UsageError, match="whose truth is a radiance map"):
        folder_scenes(tmp_path, spec("hdr", ("picture",)), Skipped())


def exposed(folder, gains, size=(48, 64), name="coffee"):
    """Write exposures of a photograph, re-exposed by these gains in linear light."""
    folder.mkdir(parents=True)
    scene = getattr(skimage.data, name)()[: 4 * size[0], : 4 * size[1]].astype(np.float32) / 255
    for index, gain in enumerate(gains):
        codes = linear_to_srgb(np.clip(srgb_to_linear(scene) * np.float32(gain), 0, 1)) * 255
        write_picture(folder / f"{index}.png", np.rint(codes).astype(np.uint8))
    return folder


@pytest.mark.parametrize("gains", [(0.25, 4), (0.05, 1, 8), (1, 0.5, 2)])
def test_exposures_of_one_scene_are_one_bracket(tmp_path, gains):
    folder = exposed(tmp_path / "one", gains)
    assert is_one_bracket(folder)
    (one,) = folder_scenes(folder, spec(), Skipped())
    assert one.name == "one"
    assert np.mean(one.frames[0]) < np.mean(one.frames[-1])


def test_other_folders_are_none(tmp_path):
    photographs = exposed(tmp_path / "photographs", [1])
    exposed(tmp_path / "other", [2], name="astronaut")
    (tmp_path / "other" / "0.png").rename(photographs / "1.png")
    assert not is_one_bracket(photographs)
    burst = exposed(tmp_path / "burst", [1, 1.02])
    assert not is_one_bracket(burst)
    assert not is_one_bracket(exposed(tmp_path / "alone", [1]))
    damaged = exposed(tmp_path / "damaged", [0.25, 4])
    (damaged / "1.png").write_bytes(b"no picture")
    assert not is_one_bracket(damaged)
