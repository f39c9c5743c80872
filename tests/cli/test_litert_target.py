"""Tests of the target LiteRT in every verb that takes a target."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.cli import main
from tests.support.pictures import smooth_picture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(network_file, picture_folder, tmp_path_factory):
    """Export a residual network of two convolutions to ONNX and LiteRT, in fp32 and INT8."""
    output = tmp_path_factory.mktemp("dist") / "net"
    folders = [f"--calib={picture_folder}", f"--images={picture_folder}"]
    options = ["--input=1x3x64x64", "--target=onnx,litert", "--precision=fp32,int8"]
    assert main(["export", f"{network_file}:net", *folders, *options, "-o", str(output)]) == 0
    return output


def answer(capsys, *arguments):
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_it_is_verified_like_the_others(bundle):
    manifest = Bundle.open(bundle).manifest
    found = {a.file: (a.status, a.verified_by) for a in manifest.artifacts if a.target == "litert"}
    assert found == {f"net.{p}.tflite": ("verified", "litert") for p in ("fp32", "int8")}
    assert {"litert-torch", "ai-edge-litert"} <= manifest.tools.keys()
    assert "LiteRT with its XNNPACK kernels" in (bundle / "report.html").read_text("utf-8")
    (agreed,) = (r for r in manifest.parity["agreement"] if r["precision"] == "int8")
    assert agreed["psnr"] >= 60


def test_parity_judges_it_again(bundle, picture_folder, capsys):
    code, document = answer(
        capsys, "parity", bundle, "--target=litert", f"--images={picture_folder}"
    )
    assert code == 0
    assert {row["verified_by"] for row in document["artifacts"]} == {"litert"}


def test_inspect_tells_integers_from_floats(bundle, capsys):
    _, document = answer(capsys, "inspect", bundle / "net.int8.tflite")
    assert document["inputs"] == [{"name": "photo", "shape": [1, 3, 64, 64], "dtype": "float32"}]
    assert document["engine_graph"]["integer"] == {"Conv2d": 2}
    assert document["engine_graph"]["engine"] == "litert"


def test_bench_times_it(bundle, capsys):
    code, document = answer(capsys, "bench", bundle, "--target=litert", "--runs=2")
    assert code == 0
    assert [row["engine"] for row in document["rows"]] == ["torch", "litert", "litert"]
    assert all(row["ms_p50"] > 0 for row in document["rows"])


def test_run_gives_the_picture_that_onnx_gives(bundle, tmp_path):
    picture = (smooth_picture(100, 130, 4) * 255).round().astype(np.uint8)
    cv2.imwrite(str(tmp_path / "in.png"), picture)
    found = []
    for target in ("onnx", "litert"):
        output = tmp_path / f"{target}.png"
        options = [f"--target={target}", "--precision=int8", "-o", str(output)]
        assert main(["run", str(bundle), str(tmp_path / "in.png"), *options]) == 0
        found.append(cv2.imread(str(output)).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1


def test_debug_says_that_it_does_not_look_into_it(bundle, capsys):
    assert main(["debug", str(bundle), "--target=litert"]) == 2
    assert "does not look into litert files" in capsys.readouterr().err
