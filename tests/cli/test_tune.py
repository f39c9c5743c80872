"""Tests of ``edgeexpo tune`` and ``edgeexpo export --recipe`` as a user calls them."""

from __future__ import annotations

import json

import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.cli import main
from edgeexpo.errors import UsageError
from edgeexpo.models import zoo
from edgeexpo.workflows.export import tool_versions
from edgeexpo.workflows.tune_recipe import TunedRecipe, read_recipe, write_recipe


def recipe(**changes):
    entry = zoo.get("lrl-mobile")
    fields = {
        "model": "lrl-mobile",
        "target": "onnx",
        "size": (64, 64),
        "weights": None,
        "weights_sha256": digest(entry.weights),
        "prune": None,
        "keep_float": ("conv2d",),
        "calibration": None,
        "inputs": (),
        "measured": {"psnr": 50.0},
        "tools": tool_versions(),
    }
    return TunedRecipe(**{**fields, **changes})


def test_a_recipe_survives_the_file(tmp_path):
    path = tmp_path / "r.json"
    for written in (recipe(), recipe(keep_float=None, prune=0.5), recipe(keep_float=())):
        write_recipe(path, written)
        assert read_recipe(path) == written
    assert recipe().arguments(tmp_path)["keep_float"] == ("conv2d",)


def test_ranges_are_only_calibrated_where_no_int8_weights_ship(tmp_path):
    found = recipe(calibration="photos").arguments(tmp_path)
    assert found["calibration"] == tmp_path / "photos"
    assert recipe(calibration="photos", keep_float=None).arguments(tmp_path)["calibration"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a recipe"),
        ("[]", "its format is None"),
        ('{"format": "edgeexpo-recipe-9"}', "its format is 'edgeexpo-recipe-9'"),
        ('{"format": "edgeexpo-recipe-1", "model": 3}', "damaged recipe"),
        ("\udcff", "is not a recipe"),
    ],
)
def test_a_bad_recipe_is_one_line(content, message, tmp_path, capsys):
    path = tmp_path / "r.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    output = tmp_path / "bundle"
    assert main(["export", "--recipe", str(path), "-o", str(output)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"keep_float": ("conv2d", "conv9")}, [], "no operator 'conv9' in the network"),
        ({"keep_float": ("relu",)}, [], "no operator 'relu' in the network"),
        ({"weights_sha256": "0" * 64}, [], "other weights than the recipe was tuned for"),
        ({"weights": "gone.safetensors"}, [], "gone.safetensors are missing"),
        ({"target": "tflite"}, [], "expected one of onnx, executorch, coreml"),
        ({}, ["--size", "32,32"], "the recipe says what --size would"),
        ({}, ["--prune", "0.5"], "the recipe says what --prune would"),
        ({}, ["--int8", "x.safetensors"], "the recipe says what --int8 would"),
        ({}, ["lrl-8"], "is a recipe of lrl-mobile, not of lrl-8"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(changes, arguments, message, tmp_path, capsys):
    path = tmp_path / "r.json"
    write_recipe(path, recipe(**changes))
    output = tmp_path / "bundle"
    assert main(["export", *arguments, "--recipe", str(path), "-o", str(output)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not output.exists()


def test_no_recipe_at_all(tmp_path):
    with pytest.raises(UsageError, match="edgeexpo tune NAME"):
        read_recipe(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lrl-mobil"], "did you mean 'lrl-mobile'"),
        (["lrl-mobile", "--gate", "psnr=>45"], "expected METRIC>=BOUND"),
        (["lrl-mobile", "--pruned", "none.safetensors"], "none.safetensors"),
        (["exponet-mobile", "--gate", "correction_snr>=20"], "correction_snr is not measured"),
        (["net.py:net", "--pruned", "w.safetensors", "--input", "1x3x64x64"], "net.py"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_from_search_to_bundle(network_file, picture_folder, tmp_path, capsys):
    path, plot, cache = tmp_path / "r.json", tmp_path / "front.png", tmp_path / "cache"
    pictures = ["--images", str(picture_folder)]
    arguments = ["tune", f"{network_file}:net", "--input", "photo=1x3x64x64", "--target", "onnx"]
    arguments += [*pictures, "--calib", str(picture_folder), "--cache", str(cache), "--json"]
    arguments += ["--runs", "3", "--candidates", "2", "--max-ms", "1000", "-o", str(path)]
    assert main([*arguments, "--gate", "psnr>=30", "--plot", str(plot)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [len(row["keep_float"]) for row in document["rows"]].count(0) == 1
    assert len(document["rows"]) == 2
    assert document["reused"] == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = read_recipe(path)
    assert found.measured["psnr"] == max(row["psnr"] for row in document["rows"])

    before = path.read_bytes()
    impossible = [*arguments, "--gate", "psnr>=119", "--force"]
    assert main(impossible) == 3
    captured = capsys.readouterr()
    assert "best within the budget" in captured.err
    assert json.loads(captured.out)["reused"] == 2
    assert path.read_bytes() == before

    output = tmp_path / "bundle"
    export = ["export", "--recipe", str(path), *pictures, "--gate", "psnr>=30"]
    assert main([*export, "-o", str(output)]) in (0, 3)
    manifest = Bundle.open(output).manifest
    assert manifest.recipe.keep_float == tuple(sorted(found.keep_float))
    kept = [a.float_operators.get("conv2d", 0) for a in manifest.artifacts]
    assert kept == [len(found.keep_float)]
    worst = manifest.parity["artifacts"][0]["worst"]["psnr"]
    assert worst == pytest.approx(found.measured["psnr"], abs=0.3)
