"""Tests of networks and baselines over folders: rows, gains, pictures and the verb."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from edgeexpo.cli import main
from edgeexpo.errors import UsageError, WeightsError
from edgeexpo.evaluation.baselines import baselines
from edgeexpo.evaluation.evaluate import gains, spread_of_rows, summary
from edgeexpo.evaluation.metrics import NAMES, psnr_codes, to_codes
from edgeexpo.evaluation.predict import candidates, float_session, spec_of
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.interpolation import intermediate
from edgeexpo.models import zoo
from edgeexpo.runtime import load
from edgeexpo.spec import TensorSpec
from edgeexpo.workflows.evaluate import evaluate
from tests.support.bracket_folders import scene, shot, write_bracket, write_exposures, write_hdr
from tests.support.tiny_bundle import write_bundle


@pytest.fixture
def brackets(tmp_path):
    source = tmp_path / "brackets"
    for seed, name in enumerate(("a", "b")):
        write_bracket(source / name, [-2, -1, 0, 1, 2], seed=seed)
    listed = [{"file": f"{i}.png", "ev": i - 2} for i in range(5)]
    write_exposures(source, {"a": listed, "b": listed})
    write_bracket(source / "c", [-2, 0, 2], reference=True, seed=2)
    return source


def test_a_float_network_beside_the_baselines(brackets):
    result = evaluate("lrl-mobile", brackets)
    rows = {(r["dataset"], r["model"]): r for r in result.rows}
    own = rows["brackets, middle frame", "lrl-mobile"]
    assert (own["precision"], own["target"], own["n"]) == ("float", "torch", 2)
    assert own["psnr"] > rows["brackets, middle frame", "mean of the inputs"]["psnr"]
    assert ("brackets, middle frame", "middle") not in rows
    assert rows["brackets, reference", "middle"]["n"] == 1
    assert rows["brackets, reference", "Mertens, all frames"]["mef_ssim"] > 0.5
    gain, default = result.gains
    assert default["over"] == "y0, sRGB response"
    y0 = rows["brackets, middle frame", "y0, fitted response"]
    assert gain["mean"] == pytest.approx(own["psnr"] - y0["psnr"])
    assert gain["n"] == 2


def test_the_measured_picture_is_the_network_output_for_exposures(brackets):
    """Compare middle frames with the network's output, and references with the fused picture."""
    under, over, middle = (shot(scene(48, 64), ev).astype(np.float32) / 255 for ev in (-2, 2, 0))
    session = float_session("lrl-mobile", None)
    output = session(under, over, ev=4.0, fuse=False)
    expected = psnr_codes(to_codes(middle), to_codes(output))
    rows = evaluate("lrl-mobile", brackets, with_baselines=False).scenes
    assert rows[0]["psnr"] == pytest.approx(expected)
    under, over = (shot(scene(48, 64, 2), ev).astype(np.float32) / 255 for ev in (-2, 2))
    fused = session(under, over)
    truth = shot(scene(48, 64, 2), 0)
    assert rows[2]["psnr"] == pytest.approx(psnr_codes(truth, to_codes(fused)))


def test_a_bundle_gives_a_row_for_each_artefact(brackets, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", kind="interpolation")
    result = evaluate(str(bundle), brackets, with_baselines=False)
    assert [(r["model"], r["target"], r["precision"]) for r in result.rows] == [
        ("mean", "onnx", "fp32"),
        ("mean", "onnx", "fp32"),
    ]
    frames = [shot(scene(48, 64, 2), ev).astype(np.float32) / 255 for ev in (-2, 2)]
    with load(bundle) as session:
        expected = session(*frames)
    rows = [r for r in result.scenes if r["scene"] == "c"]
    truth = shot(scene(48, 64, 2), 0)
    assert rows[0]["psnr"] == pytest.approx(psnr_codes(truth, to_codes(expected)))


def test_tiles_change_nothing(monkeypatch):
    frames = [shot(scene(70, 90), ev).astype(np.float32) / 255 for ev in (-2, 2)]
    whole = float_session("lrl-mobile", None)(*frames, ev=4.0)
    monkeypatch.setattr("edgeexpo.evaluation.predict.TILE", 40)
    tiled = float_session("lrl-mobile", None)(*frames, ev=4.0)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_baselines_are_what_they_are_called():
    frames = tuple(shot(scene(48, 64), ev).astype(np.float32) / 255 for ev in (-3, 0, 1, 3))
    several = Scene("a", ("g",), (frames[0], frames[3]), None, "reference", 6.0, frames, frames)
    found = baselines(several)
    np.testing.assert_allclose(found["mean of the inputs"], (frames[0] + frames[3]) / 2, atol=1e-7)
    assert found["darkest"] is frames[0]
    assert found["middle"] is frames[2]
    assert found["brightest"] is frames[3]
    y0 = intermediate(frames[0], frames[3], ev=6.0, response="srgb", levels=255)
    np.testing.assert_array_equal(found["y0, sRGB response"], y0)
    codes = [to_codes(f) for f in frames]
    merged = np.clip(cv2.createMergeMertens(1.0, 1.0, 1.0).process(codes), 0, 1)
    assert np.quantile(np.abs(found["Mertens, all frames"] - merged), 0.99) < 1e-3
    one = Scene("a", ("g",), frames[:1], frames[1], "photograph")
    assert list(baselines(one)) == ["the input"]


def test_summary_averages_what_is_known():
    head = {"model": "m", "precision": None, "target": None}
    empty = dict.fromkeys(NAMES)
    rows = [
        {**head, **empty, "scene": "a", "datasets": ("x", "y"), "psnr": 30.0},
        {**head, **empty, "scene": "b", "datasets": ("x",), "psnr": 40.0, "vif": 0.5},
    ]
    first, second = summary(rows)
    assert (first["dataset"], first["n"], first["psnr"], first["vif"]) == ("x", 2, 35.0, 0.5)
    assert (second["dataset"], second["n"], second["psnr"], second["ssim"]) == ("y", 1, 30.0, None)


def test_gains_tell_the_mean_the_worst_and_the_hardest_tenth():
    def row(name, model, target, value):
        head = {"model": model, "precision": "float" if target else None, "target": target}
        return {**head, "scene": name, "truth": "middle exposure", "psnr": value}

    base = {f"s{i}": 20.0 + i for i in range(20)}
    rows = [row(s, "y0, fitted response", None, v) for s, v in base.items()]
    rows += [row(s, "net", "torch", v + (6 if v < 21.5 else 1)) for s, v in base.items()]
    rows[-1] = {**rows[-1], "psnr": rows[-1]["psnr"] - 3}
    (gain,) = gains(rows)
    assert gain["over"] == "y0, fitted response"
    assert gain["worst_tenth"] == pytest.approx(6)
    assert gain["worst"] == pytest.approx(-2)
    assert gain["mean"] == pytest.approx((2 * 6 + 17 * 1 - 2) / 20)
    assert gains([r for r in rows if r["target"] is None]) == []


@pytest.fixture
def random_weights(tmp_path):
    """Write a checkpoint of a preset that was never trained."""

    def write(preset):
        torch.manual_seed(0)
        path = tmp_path / f"{preset}.pth"
        torch.save(zoo.get(preset).build().state_dict(), path)
        return path

    return write


@pytest.mark.parametrize(
    ("preset", "kind", "count"),
    [
        ("twophase-mobile", "fusion", 10),
        ("kdfusion-mobile", "fusion", 10),
        ("kdfusion-baseline-mobile", "fusion", 10),
        ("kdfusion-teacher-mobile", "reconstruction", 1),
        ("exponet-mobile", "correction", 5),
        ("exponet-lab-mobile", "correction", 5),
        ("lrl-mobile", "interpolation", 1),
    ],
)
def test_every_kind_is_measured_on_photographs(tmp_path, random_weights, preset, kind, count):
    (tmp_path / "data").mkdir()
    Image.fromarray(shot(scene(41, 70), 0)).save(tmp_path / "data" / "photo.png")
    weights = random_weights(preset)
    result = evaluate(preset, tmp_path / "data", weights=weights, with_baselines=False)
    assert spec_of(preset).kind == kind
    assert len(result.scenes) == count
    assert all(r["psnr"] > 0 and r["delta_e"] >= 0 for r in result.scenes)


def test_noise_is_on_the_frames_alone_and_the_same_in_every_run(brackets):
    (clean, *_), (noisy, *_), (again, *_) = (
        evaluate("lrl-mobile", brackets, noise=n).scenes for n in (0.0, 10.0, 10.0)
    )
    assert noisy["psnr"] < clean["psnr"] - 1
    assert noisy == again
    frame = np.full((60, 60, 3), 0.5, np.float32)
    scene_ = Scene("a", (), (frame,), frame, "photograph", given=(frame, frame)).with_noise(10)
    assert scene_.truth is frame
    assert scene_.given[0] is scene_.given[1] is scene_.frames[0]
    assert 255 * (scene_.frames[0] - frame).std() == pytest.approx(10, rel=0.05)


def test_spread_is_that_of_the_exposures_of_one_subject():
    def row(subject, level, psnr_):
        head = {"model": "m", "precision": "float", "target": "torch", "subject": subject}
        return {**head, "mean_level": level, "psnr": psnr_}

    rows = [row("a", 0.4, 20.0), row("a", 0.6, 24.0), row("b", 0.5, 30.0), row("b", 0.5, 30.0)]
    (found,) = spread_of_rows([*rows, row("", 0.0, 0.0)])
    assert found["n"] == 2
    assert found["psnr"] == pytest.approx(1.0)
    assert found["mean_level"] == pytest.approx(0.05)


def test_radiance_is_measured_against_radiance(tmp_path, random_weights, monkeypatch):
    write_hdr(tmp_path / "lab.hdr", scene(32, 64) * 50)
    monkeypatch.setattr("edgeexpo.evaluation.simulated.VIEW", 48)
    weights = random_weights("expandnet-mobile")
    result = evaluate("expandnet-mobile", tmp_path, weights=weights, views=2)
    models = [r["model"] for r in result.rows]
    assert models == ["expandnet-mobile", "the input, linearised"]
    assert all(r["pu21_psnr"] > 0 and r["psnr"] is None for r in result.rows)


def test_the_verb_prints_one_document_and_writes_pictures(brackets, tmp_path, capsys):
    bundle = str(write_bundle(tmp_path / "bundle"))
    verb = ["evaluate", bundle, "--data", str(brackets), "-o", str(tmp_path / "out")]
    assert main([*verb, "--json", "--per-scene"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["rows"][0]) >= {"model", "precision", "dataset", "n", *NAMES}
    assert {r["scene"] for r in document["scenes"]} == {"a", "b", "c"}
    assert document["skipped"] == []
    written = tmp_path / "out" / "c.mean.onnx.fp32.png"
    assert np.asarray(Image.open(written)).shape == (48, 64, 3)
    assert (tmp_path / "out" / "a.y0_sRGB_response.png").is_file()


def test_the_verb_names_what_it_skipped(brackets, tmp_path, capsys):
    (brackets / "c" / "1.png").write_bytes(b"no picture")
    bundle = str(write_bundle(tmp_path / "bundle"))
    assert main(["evaluate", bundle, "--data", str(brackets), "--no-baselines"]) == 0
    out, err = capsys.readouterr()
    assert "1 file(s) skipped" in out
    assert err.count("\n") == 1
    assert str(brackets / "c" / "1.png") in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lrl-9"], "did you mean 'lrl"),
        (["lrl", "--precision", "int8"], "choose among the artefacts of a bundle"),
        (["lrl", "--weights", "nothing.pth"], "no weights at nothing.pth"),
    ],
)
def test_requests_that_cannot_be_met_end_in_one_line(brackets, capsys, arguments, message):
    assert main(["evaluate", *arguments, "--data", str(brackets)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_preset_without_weights_says_how_to_get_them(brackets):
    with pytest.raises(WeightsError, match=r"lrl-23 ships no weights; train it"):
        evaluate("lrl-23", brackets)


def test_a_bundle_has_its_own_weights(brackets, tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    with (
        pytest.raises(UsageError, match="drop `weights`"),
        candidates(str(bundle), weights=tmp_path / "w.pth"),
    ):
        pass


def test_nothing_readable_is_refused(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.png").write_bytes(b"no picture")
    bundle = write_bundle(tmp_path / "bundle")
    with pytest.raises(UsageError, match=r"nothing to measure \(1 files skipped\)"):
        evaluate(str(bundle), tmp_path / "data")


def test_a_bundle_of_a_users_network_of_one_frame_is_measured_as_a_correction(tmp_path):
    facts = {"front": None, "back": None, "frames": ("photo",), "inputs": (TensorSpec("y0"),)}
    bundle = write_bundle(tmp_path / "bundle", **facts)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.fromarray(shot(scene(48, 64), 0.0)).save(photographs / "a.png")
    found = evaluate(bundle, photographs, with_baselines=False)
    assert len(found.scenes) == 5
    assert all(row["psnr"] > 10 for row in found.scenes)
