"""Tests of ``edgeexpo export`` as a user calls it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.cli import main

pytestmark = pytest.mark.usefixtures("small_probes")


def export(network_file, picture_folder, *arguments, factory="net", inputs=("1x3x64x64",)):
    """Run the verb on a network from outside the zoo and return the exit code."""
    given = [f"--input={i}" for i in inputs]
    folders = ["--calib", str(picture_folder), "--images", str(picture_folder)]
    return main(["export", f"{network_file}:{factory}", *given, *folders, *arguments])


def last_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.slow
def test_a_foreign_module_is_exported_and_verified(network_file, picture_folder, tmp_path, capsys):
    output = tmp_path / "bundle"
    code = export(network_file, picture_folder, "--target=onnx,coreml", "-o", str(output), "--json")
    assert code == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bundle"] == str(output)
    assert document["model"] == "net"
    assert document["seconds"] > 0
    keys = {"file", "target", "precision", "bytes", "sha256", "status", "verified_by", "seconds"}
    for row in document["artifacts"]:
        assert keys | {"error"} <= set(row)
        assert row["status"] == "verified"
    manifest = Bundle.open(output).manifest
    assert manifest.model.inputs[0].name == "photo"
    assert manifest.model.halo == 2
    assert manifest.sources
    assert all(v.startswith("net.py:") for v in manifest.sources.values())
    Bundle.open(output).verify()


@pytest.mark.slow
def test_several_inputs_keep_their_names(network_file, picture_folder, tmp_path, capsys):
    inputs = ("dark=1x3x64x64", "bright=1x3x64x64")
    output = tmp_path / "two"
    arguments = ("--target=onnx", "--precision=fp32", "-o", str(output))
    assert export(network_file, picture_folder, *arguments, factory="two", inputs=inputs) == 0
    assert [t.name for t in Bundle.open(output).manifest.model.inputs] == ["dark", "bright"]


def test_one_of_several_outputs_is_exported(network_file, picture_folder, tmp_path):
    source = "\nclass Several(Net):\n    def forward(self, photo):\n"
    source += "        return {'picture': super().forward(photo), 'copy': photo}\n"
    network_file.write_text(network_file.read_text() + source)
    output = tmp_path / "bundle"
    arguments = ["--target=onnx", "--precision=fp32", "--output-name=picture", "-o", str(output)]
    assert export(network_file, picture_folder, *arguments, factory="Several") == 0
    assert Bundle.open(output).manifest.artifacts[0].status == "verified"


def bad_weights(kind, tmp_path):
    from net_under_test import Net

    state = Net().state_dict()
    if kind == "missing":
        state.pop("body.0.bias")
    elif kind == "extra":
        state["extra"] = torch.zeros(1)
    else:
        state["body.0.bias"][0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    return f"--weights={tmp_path / 'w.pth'}"


@pytest.mark.parametrize(
    ("kind", "words"), [("missing", "1 missing"), ("extra", "1 unknown"), ("nan", "has NaN")]
)
def test_bad_weights(network_file, picture_folder, tmp_path, capsys, monkeypatch, kind, words):
    (tmp_path / "net_under_test.py").write_text(network_file.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    output = tmp_path / "out"
    weights = bad_weights(kind, tmp_path)
    assert export(network_file, picture_folder, weights, "-o", str(output)) == 2
    assert words in last_line(capsys)
    assert not output.exists()


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("pair", "choose the picture with --output-name"),
        ("number", "returned a int"),
        ("none", "has no factory"),
    ],
)
def test_bad_modules(network_file, picture_folder, tmp_path, capsys, factory, words):
    output = tmp_path / "out"
    assert export(network_file, picture_folder, "-o", str(output), factory=factory) == 2
    assert words in last_line(capsys)
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--target", "coremk"], "did you mean 'coreml'"),
        (["export", "--precision", "int4"], "expected one of"),
        (["export", "lrk"], "did you mean"),
        (["export", "lrl-23"], "ships without weights"),
        (["export", "lrl", "--size", "big"], "expected H,W"),
        (["export", "lrl", "--gate", "pnsr>=3"], "did you mean psnr"),
        (["export", "nowhere.py:net", "--input", "1x3x64x64"], "no file at nowhere.py"),
    ],
)
def test_bad_arguments(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert words in last_line(capsys)
    assert not list(tmp_path.iterdir())


def test_an_empty_calibration_folder(network_file, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert export(network_file, empty, "-o", str(tmp_path / "out")) == 2
    assert "has no picture" in last_line(capsys)


def test_an_existing_bundle_is_kept(network_file, picture_folder, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine.txt").write_text("keep")
    assert export(network_file, picture_folder, "-o", str(output)) == 2
    assert "use --force" in last_line(capsys)
    assert export(network_file, picture_folder, "-o", str(output), "--force") == 2
    assert "is not a bundle" in last_line(capsys)
    assert (output / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")]
)
def test_a_disk_that_refuses(
    network_file, picture_folder, tmp_path, capsys, monkeypatch, code, words
):
    def refuse(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("edgeexpo.bundle.bundle.os.replace", refuse)
    output = tmp_path / "out"
    arguments = ("--target=onnx", "--precision=fp32", "-o", str(output))
    assert export(network_file, picture_folder, *arguments) == 1
    assert words in last_line(capsys)
    assert not list(tmp_path.iterdir())


def test_a_failed_gate_writes_the_bundle_and_marks_it(
    network_file, picture_folder, tmp_path, capsys
):
    output = tmp_path / "out"
    arguments = ("--target=onnx", "--gate=psnr>=119", "-o", str(output))
    assert export(network_file, picture_folder, *arguments) == 3
    assert "marked failed" in last_line(capsys)
    assert Bundle.open(output).manifest.status == "failed"
    assert (output / "report.html").is_file()


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_that_looks_like_a_bundle(
    network_file, picture_folder, tmp_path
):
    output = tmp_path / "out"
    model, given = f"{network_file}:net", "--input=1x3x256x256"
    folders = ["--calib", str(picture_folder), "--images", str(picture_folder)]
    command = [sys.executable, "-m", "edgeexpo", "export", model, given, *folders]
    command += ["--target", "onnx", "--precision", "fp32", "-o", str(output)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(tmp_path.glob(".out.partial-*/*")):
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not output.exists()
    assert list(tmp_path.glob(".out.partial-*/*"))
    assert not list(tmp_path.rglob(MANIFEST))


def test_a_missing_converter_is_exit_4_before_any_work(
    network_file, picture_folder, tmp_path, monkeypatch, capsys
):
    broken = dataclasses.replace(targets.target_named("litert"), converter="no_such_package")
    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "litert": broken})
    output = tmp_path / "bundle"
    assert export(network_file, picture_folder, "--target=all,litert", "-o", str(output)) == 4
    assert "pip install 'edgeexpo[litert]'" in last_line(capsys)
    assert not output.exists()
