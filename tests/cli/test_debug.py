"""Tests of ``edgeexpo debug``: the table with its sentence, the error map and the exit codes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.cli import main
from edgeexpo.testing.faults.plant import plant

KEYS = {"node", "operator", "module", "source", "error", "share", "range", "fault"}


@pytest.fixture(scope="module")
def damaged(exported, tmp_path_factory):
    """Make a bundle in whose INT8 ONNX file two channels of the last layer are swapped."""
    folder = tmp_path_factory.mktemp("damaged")
    bundle = Bundle.open(exported)
    artifact = bundle.select("onnx", "int8")
    planted = plant(bundle, artifact, "output channels swapped", 2, folder)
    write_manifest(folder, planted.manifest)
    return folder


def test_a_clean_artefact_says_so(exported, picture_folder, capsys):
    verb = ["debug", str(exported), "--target", "onnx", "--images", str(picture_folder)]
    assert main(verb) == 0
    said = capsys.readouterr().out
    assert "net.int8.onnx in onnxruntime, graph optimisations off" in said
    assert "100% of the artefact's" in said
    assert "no layer leaves its share; nearest is" in said


def test_a_fault_is_named_with_its_line_and_drawn(damaged, picture_folder, tmp_path, capsys):
    from PIL import Image

    verb = ["debug", str(damaged), "--images", str(picture_folder), "-o", str(tmp_path / "maps")]
    assert main(verb) == 3
    said = capsys.readouterr()
    assert re.search(
        r"^conv2d_2 of body\.4 \(networks\.py:\d+\): channels 0 and 1 are swapped$", said.out, re.M
    )
    first = next(line for line in said.out.splitlines() if line.startswith(">"))
    assert first.split()[1:4] == ["conv2d_2", "conv2d", "body.4"]
    assert "net.int8.onnx leaves the program at conv2d_2" in said.err
    (drawn,) = (tmp_path / "maps").iterdir()
    assert drawn.name == "net.int8.onnx.conv2d_2.png"
    picture = np.asarray(Image.open(drawn))
    assert picture.max() == 255
    assert picture[-1, -1].max() == 0


def test_json_is_one_document(damaged, picture_folder, capsys):
    photograph = str(next(picture_folder.iterdir()))
    assert main(["debug", str(damaged), "--image", photograph, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert set(document["first"]) >= KEYS
    assert document["first"]["node"] == "conv2d_2"
    assert document["target"] == "onnx"
    assert document["coverage"] == 1.0
    assert [r["fault"] for r in document["layers"]].count(None) == len(document["layers"]) - 1
    assert document["files"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "nowhere.png"], "no picture at nowhere.png"),
        (["--target", "coreml"], "has no coreml artefact; it has: onnx int8"),
        (["--images", "nowhere"], "no folder at nowhere"),
    ],
)
def test_bad_input_is_refused_in_one_line(damaged, arguments, message, capsys):
    assert main(["debug", str(damaged), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
