"""Tests of ``edgeexpo train`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from edgeexpo.cli import main

SMALL = ["--steps", "2", "--batch", "2", "--crop", "64", "--scenes", "2", "--scene-size", "64"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three photographs, one of which is damaged."""
    folder = tmp_path_factory.mktemp("photographs")
    codes = np.arange(80 * 90 * 3, dtype=np.uint32).reshape(80, 90, 3) % 251
    for name in "ab":
        Image.fromarray(codes.astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "c.jpg").write_bytes(b"nothing")
    return folder


def test_a_run_writes_weights_and_curves(photographs, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--data", str(photographs), "-o", str(folder), *SMALL, "--json"]
    assert main(["train", "exponet", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == "exponet-mobile"
    assert document["steps"] == 2
    assert len(load_file(document["weights"])) > 10
    assert {p.name for p in folder.iterdir()} >= {"curve.png", "curve.csv", "training.json"}
    assert main(["train", "exponet-double", *arguments]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "a checkpoint of exponet-mobile, not of exponet-double-mobile" in json.dumps(error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exponnet", "--data", "."], "unknown model 'exponnet'; did you mean"),
        (["exponet", "--data", "nowhere"], "no folder at nowhere"),
        (["exponet-full", "--data", "."], "exponet-full has no recipe"),
        (["exponet"], "required: --data"),
        (["exponet", "--data", ".", "--batch", "1"], "two crops where a network has batch norm"),
        (["exponet", "--data", ".", "--low-level"], "has no teacher to follow"),
        (["exponet", "--data", ".", "--crop", "500"], "crops of 500 do not fit scenes of 128"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_maps_are_asked_for_where_they_are_needed(photographs, tmp_path, capsys):
    arguments = ["--data", str(photographs), "-o", str(tmp_path / "run"), *SMALL]
    assert main(["train", "expandnet-mobile", *arguments]) == 2
    assert "this network learns from radiance maps" in capsys.readouterr().err
