"""Tests of ``edgeexpo quantize`` as a user calls it, and of an export of its INT8 weights."""

from __future__ import annotations

import json

import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.cli import main
from edgeexpo.quantization import int8_weights

SMALL = ["--steps", "2", "--batch", "2", "--crop", "32", "--scenes", "3"]


@pytest.fixture(scope="module")
def int8(data_folder, tmp_path_factory):
    """Make INT8 weights of lrl-mobile by two steps of training that start from minmax ranges."""
    folder = tmp_path_factory.mktemp("int8")
    path = folder / "w.safetensors"
    arguments = ["--data", str(data_folder), "-o", str(path), "--run", str(folder / "run"), *SMALL]
    arguments += ["--variants", "minmax"]
    assert main(["quantize", "lrl-mobile", *arguments]) == 0
    return path


def test_training_writes_weights_and_a_curve(int8):
    facts = int8_weights.read_int8_weights(int8).facts
    assert facts["preset"] == "lrl-mobile"
    assert (facts["method"], facts["variant"], facts["steps"]) == ("qat", "minmax", 2)
    assert (int8.parent / "run" / "curve.csv").is_file()


@pytest.mark.slow
def test_training_goes_on_from_weights_with_wider_ranges(int8, data_folder, tmp_path):
    path = tmp_path / "w.safetensors"
    arguments = ["--data", str(data_folder), "-o", str(path), "--run", str(tmp_path / "run")]
    arguments += ["--start", str(int8), "--variants", "headroom", *SMALL]
    assert main(["quantize", "lrl-mobile", *arguments]) == 0
    before, after = int8_weights.read_int8_weights(int8), int8_weights.read_int8_weights(path)
    assert after.facts["started_from"] == digest(int8)
    grown = [after.ranges[name].scale / before.ranges[name].scale for name in before.ranges]
    assert all(1 <= factor <= 2.0001 for factor in grown)


@pytest.mark.slow
def test_export_takes_them(int8, picture_folder, tmp_path, capsys):
    arguments = ["--int8", str(int8), "--target", "onnx", "--size", "64,64"]
    arguments += ["--images", str(picture_folder), "-o", str(tmp_path / "b"), "--gate", "psnr>=30"]
    code = main(["export", "lrl-mobile", *arguments, "--json"])
    assert code in (0, 3), capsys.readouterr()
    recipe = Bundle.open(tmp_path / "b").manifest.recipe
    assert recipe.calibration == "INT8 weights w.safetensors"
    assert recipe.calibration_pictures == ()


@pytest.mark.slow
def test_a_network_of_the_users_own_trains_and_is_exported(
    data_folder, network_file, picture_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    own = [f"{network_file}:net", "--input", "photo=1x3x64x64"]
    arguments = ["--data", str(data_folder), "--calib", str(picture_folder), *SMALL]
    arguments += ["--variants", "plain"]
    assert main(["quantize", *own, *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["weights"], document["preset"]) == ("net.int8.safetensors", "net")
    assert [row["variant"] for row in document["variants"]] == ["plain", "trained"]
    arguments = ["--int8", document["weights"], "--target", "onnx", "--precision", "int8"]
    code = main(["export", *own, *arguments, "--images", str(picture_folder)])
    assert code in (0, 3), capsys.readouterr()
    recipe = Bundle.open(tmp_path / "dist" / "net").manifest.recipe
    assert recipe.calibration == "INT8 weights net.int8.safetensors"


@pytest.mark.slow
def test_calibration_alone(picture_folder, tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    arguments = ["--method", "ptq", "--calib", str(picture_folder), "-o", str(path)]
    arguments += ["--variants", "plain,unequalized+minmax"]
    assert main(["quantize", "lrl-mobile", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    totals = {
        row["variant"]: (row["score"]["worst"] + row["score"]["mean"]) / 2
        for row in document["variants"]
    }
    assert list(totals) == ["plain", "unequalized+minmax"]
    assert document["variant"] == max(totals, key=totals.__getitem__)
    assert document["gain_over_plain"] == max(totals.values()) - totals["plain"]
    assert document["judged_on"][0] == "astronaut"
    assert int8_weights.read_int8_weights(path).facts["variant"] == document["variant"]
    assert main(["quantize", "lrl-mobile", *arguments]) == 2
    assert "exists; use --force to replace it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quantize", "lrl-mobile"], "QAT needs pictures to train on; give --data DIR"),
        (["quantize", "lrl-9", "--data", "."], "unknown model 'lrl-9'; did you mean"),
        (["quantize", "lrl", "--method", "ptq", "--variants", "x"], "unknown part 'x' of the"),
        (["quantize", "lrl", "--data", ".", "--variants", "bias,nncf"], "starts from one variant"),
        (["quantize", "lrl", "--method", "ptq", "--start", "{int8}"], "--start is for training"),
        (
            ["quantize", "lrl", "--data", ".", "--start", "{int8}", "--variants", "minmax"],
            "found --variants minmax besides; expected headroom or none",
        ),
        (
            ["quantize", "lrl", "--data", ".", "--start", "{int8}"],
            "does not fit lrl: INT8 weights of lrl-mobile with 4 missing (body.12.weight",
        ),
        (["quantize", "lrl", "--method", "ptq", "--data", "."], "--data is for training; leave"),
        (["quantize", "lrl-23", "--method", "ptq"], "lrl-23 ships without weights"),
        (["export", "lrl-8", "--int8", "{int8}"], "does not fit lrl: INT8 weights of lrl-mobile"),
        (["export", "lrl", "--int8", "{int8}", "--calib", "."], "leave out --calib, or --int8"),
        (["quantize", "{net}:net"], "needs its inputs; give --input NAME=1x3xHxW for each"),
        (["quantize", "{net}:net", "--input", "1x3x64x64", "--crop", "9"], "trains on crops of 16"),
        (
            ["export", "{net}:net", "--input", "photo=1x3x64x64", "--int8", "{int8}"],
            "does not fit net: INT8 weights of lrl-mobile with 8 unknown (body.10.bias",
        ),
        (["export", "lrl", "--int8", "none.safetensors"], "holds no INT8 weights"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments, message, int8, network_file, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main([a.format(int8=int8, net=network_file) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
