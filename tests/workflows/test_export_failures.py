"""Failures of an export, injected at each stage: one line each, and no other artefact is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.cli import export as cli_export
from edgeexpo.cli import main
from edgeexpo.errors import BundleError, ExportError, OutputError, UsageError
from edgeexpo.parity import check
from edgeexpo.parity.check import check_parity
from edgeexpo.runtime import load
from edgeexpo.workflows import export, export_programs
from edgeexpo.workflows.export import export_bundle
from tests.support.networks import NETWORK
from tests.support.pictures import smooth_picture
from tests.support.toy_target import TOY

pytestmark = pytest.mark.usefixtures("small_probes")


class UnknownError(Exception):
    """An exception of a library that no code of the product names."""


def raises_unknown(program, path):
    """Fail as a library does, with a graph of symbols in the message."""
    raise UnknownError("cannot translate %conv2d_1\ngraph():\n" + "    %x : placeholder\n" * 50)


def raises_typed(program, path):
    """Fail as the product's own lowerings do."""
    raise ExportError("this target has no operator clamp (aten.clamp.default at net.py:16)")


def leaves_a_half(program, path):
    """Write a part of an artefact and fail."""
    path.mkdir()
    (path / "half").write_text("written")
    raise RuntimeError("")


def runs_out_of_memory(program, path):
    """Fail as a large network does."""
    raise MemoryError


def finds_a_full_disk(program, path):
    """Fail as a full disk does."""
    raise OutputError(f"cannot write {path}: the disk is full")


FAILING = {
    "onnx": raises_unknown,
    "executorch": raises_typed,
    "coreml": leaves_a_half,
    "litert": runs_out_of_memory,
}
"""Exporters that replace those of the targets."""


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """Let every target fail but the toy, which also takes INT8. Return the folder of the traces."""
    broken = {
        name: dataclasses.replace(
            targets.TARGETS[name], exporter=f"{__name__}:{function.__name__}", converter=None
        )
        for name, function in FAILING.items()
    }
    toy = dataclasses.replace(TOY, precisions=("fp32", "int8"))
    folder = tmp_path_factory.mktemp("traces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "TARGETS", {**broken, "toy": toy})
        patch.setattr("tempfile.tempdir", str(folder))
        # The process of the engine has to find the toy target's module.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        yield folder


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> str:
    """Write a user's file and name its factory."""
    path = tmp_path_factory.mktemp("user") / "net.py"
    path.write_text(NETWORK)
    return f"{path}:net"


@pytest.fixture
def asked(failing, network, picture_folder, tmp_path):
    """Return the arguments of an export of a user's network."""
    return {
        "model": network,
        "precision": "fp32",
        "images": picture_folder,
        "inputs": ("photo=1x3x64x64",),
        "output": tmp_path / "bundle",
    }


def command(asked, *arguments):
    """Return the words of the verb for these arguments."""
    words = ["export", asked["model"], "--input", *asked["inputs"], *arguments]
    return [*words, "--images", str(asked["images"]), "-o", str(asked["output"])]


@pytest.fixture(scope="module")
def partial(failing, network, picture_folder, tmp_path_factory):
    """Export to every target in fp32 and INT8, where only the toy in fp32 succeeds.

    Return the folder of the bundle, the document on stdout and the lines on stderr.
    """
    folder = tmp_path_factory.mktemp("partial") / "bundle"
    asked = {"model": network, "images": picture_folder, "output": folder}
    asked["inputs"] = ("photo=1x3x64x64",)

    def fails(*_):
        raise AttributeError("'int' object has no attribute 'dim'")

    out, err = io.StringIO(), io.StringIO()
    words = ["--target", "onnx,executorch,coreml,litert,toy", "--precision", "int8,fp32", "--json"]
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(export_programs, "quantize_program", fails)
        assert main(command(asked, *words)) == 1
    return folder, json.loads(out.getvalue()), err.getvalue().splitlines()


def reasons(document, precision):
    return {r["target"]: r["reason"] for r in document["refused"] if r["precision"] == precision}


def test_one_targets_failure_leaves_the_others(partial):
    folder, document, lines = partial
    made = [(a["target"], a["precision"], a["status"]) for a in document["artifacts"]]
    assert made == [("toy", "fp32", "verified")]
    refused = reasons(document, "fp32")
    assert list(refused) == ["onnx", "executorch", "coreml", "litert"]
    assert (
        "UnknownError: cannot translate %conv2d_1 (aten.conv2d.default at net.py:16)"
        in (refused["onnx"])
    )
    assert refused["executorch"].endswith("clamp (aten.clamp.default at net.py:16)")
    assert refused["coreml"].startswith("lowering to Core ML at fp32 failed: RuntimeError")
    assert "memory" in refused["litert"]
    assert not list(folder.glob("*.mlpackage"))  # what was half written is gone
    assert lines[-1].startswith("edgeexpo: error: 9 of 10 artefacts could not be made: ")
    assert lines[-1].endswith(f"{folder} holds the others")


def test_a_failing_int8_preparation_leaves_fp32(partial):
    folder, document, _ = partial
    refused = reasons(document, "int8")
    assert list(refused) == ["onnx", "executorch", "coreml", "litert", "toy"]
    (reason,) = set(refused.values())
    assert reason.startswith("preparing the network for int8 failed: AttributeError: 'int' object")
    assert reason.endswith("or export with --precision fp32")
    assert not (folder / "quantized.pt2").exists()


def test_traces_are_in_files_and_nowhere_else(partial, failing):
    _, document, lines = partial
    assert not any("Traceback" in line or "placeholder" in line for line in lines)
    told = [line for line in lines if "the trace is in" in line]
    assert len(told) == 3  # of what nothing foresaw: in ONNX, in Core ML and in the preparation
    files = [Path(line.partition("trace is in ")[2].partition(" (")[0]) for line in told]
    texts = [file.read_text() for file in files]
    assert all("Traceback" in text and "torch 2" in text for text in texts)
    assert all("command: edgeexpo export" in text for text in texts)
    assert not any(str(failing) in row["reason"] for row in document["refused"])


@pytest.mark.slow
def test_the_partial_bundle_is_whole_and_remembers_what_it_lacks(partial, picture_folder, capsys):
    folder, document, _ = partial
    bundle = Bundle.open(folder)
    bundle.verify()
    assert bundle.manifest.status == "verified"
    assert len(bundle.manifest.refused) == len(document["refused"]) == 9
    assert "not made: executorch fp32" in repr(bundle)
    with load(folder) as session:
        assert session(smooth_picture(48, 56, 3).astype(np.float32)).shape == (48, 56, 3)
    with pytest.raises(BundleError, match=r"no executorch artefact; .*; not made: executorch int8"):
        bundle.select("executorch")
    assert main(["inspect", str(folder)]) == 0
    assert "not made: executorch fp32: this target" in capsys.readouterr().out
    assert main(["parity", str(folder), "--images", str(picture_folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == document["refused"]


def test_the_table_shows_what_was_made_and_what_was_not(partial):
    lines = cli_export._text(Bundle.open(partial[0]), 1.0).splitlines()
    assert any(line.startswith("net.fp32.toy") and "verified" in line for line in lines)
    assert any(line.startswith("executorch fp32") and "not made" in line for line in lines)
    assert any(line.startswith("not made: executorch fp32: this target has no") for line in lines)


def test_a_refusal_in_a_hostile_manifest_is_checked(partial, tmp_path):
    shutil.copytree(partial[0], tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    path.write_text(path.read_text().replace('"target": "litert"', '"target": "lite"'))
    with pytest.raises(BundleError, match="a refusal is 'lite', expected one of"):
        Bundle.open(tmp_path / "copy")


def test_without_an_artefact_there_is_no_bundle(asked, tmp_path, capsys):
    with pytest.raises(ExportError, match=r"^this target has no operator clamp"):
        export_bundle(**asked, targets="executorch")
    with pytest.raises(ExportError, match=r"nothing could be exported: onnx fp32: .*; litert fp32"):
        export_bundle(**asked, targets=("onnx", "litert"))
    assert main(command(asked, "--target", "coreml", "--precision", "fp32")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "lowering to Core ML at fp32 failed: RuntimeError (" in line
    assert "(--debug prints it); attach it to a report" in line
    assert not list(tmp_path.iterdir())


def test_a_full_disk_stops_the_whole_export(asked, monkeypatch):
    full = dataclasses.replace(targets.TARGETS["onnx"], exporter=f"{__name__}:finds_a_full_disk")
    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "onnx": full})
    with pytest.raises(OutputError, match="disk is full"):
        export_bundle(**asked, targets=("onnx", "toy"))
    assert not asked["output"].exists()


def test_an_argument_found_bad_while_preparing_stops_the_whole_export(asked):
    with pytest.raises(UsageError, match="no operator 'nowhere'"):
        export_bundle(
            **{**asked, "precision": ("fp32", "int8")}, targets="toy", keep_float="nowhere"
        )
    assert not asked["output"].exists()


STAGES = {
    "open": "edgeexpo.workflows.export_request.open_network",
    "trace": "torch.export.export",
    "fold": "edgeexpo.program.capture.recapture",
    "pictures": "edgeexpo.workflows.export.samples",
    "save": "torch.export.save",
    "verify": "edgeexpo.workflows.export.check_parity",
    "golden": "edgeexpo.workflows.export.record",
    "report": "edgeexpo.workflows.export.write_report",
}
"""Functions of the stages that serve all targets: stage -> function."""


@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_of_every_other_stage_is_one_line_and_no_bundle(
    asked, tmp_path, monkeypatch, capsys, stage
):
    def fails(*_args, **_kwargs):
        raise UnknownError("first line\nsecond line")

    monkeypatch.setattr(STAGES[stage], fails)
    if stage == "fold":  # the network has nothing to rewrite
        monkeypatch.setattr("edgeexpo.program.capture._REWRITES", (lambda _: True,))
    if stage not in ("verify", "report", "golden"):
        code = main(command(asked, "--target", "toy", "--precision", "fp32"))
    else:
        nothing = SimpleNamespace(artifacts=())
        monkeypatch.setattr(export, "check_parity", lambda *_, **__: nothing)
        monkeypatch.setattr(export, "record", lambda *_, **__: None)
        monkeypatch.setattr(export, "write_golden", lambda *_: {})
        monkeypatch.setattr(STAGES[stage], fails)
        code = main(command(asked, "--target", "toy", "--precision", "fp32"))
    err = capsys.readouterr().err
    lines = [
        line for line in err.splitlines() if not line.startswith("edgeexpo: the network fixes")
    ]
    assert code in (1, 2)
    assert len(lines) == 1
    assert "UnknownError: first line" in lines[0]
    assert "second line" not in lines[0]
    assert not asked["output"].exists()


def test_what_verification_cannot_judge_fails_alone(partial, picture_folder, monkeypatch):
    def fails(*_):
        raise UnknownError("no such metric")

    monkeypatch.setattr(check, "rows_of", fails)
    report = check_parity(partial[0], images=picture_folder)
    (found,) = report.artifacts
    assert (found.status, found.error) == (
        "failed",
        "judging failed: UnknownError: no such metric; report this",
    )


@pytest.mark.slow
def test_a_network_that_keeps_a_computed_tensor_is_exported(asked, tmp_path):
    (tmp_path / "net.py").write_text(
        NETWORK + "\n\ndef kept():\n    found = Net()\n"
        "    found.kept = found.body[0].weight * 2\n    return found\n"
    )
    words = command({**asked, "model": f"{tmp_path / 'net.py'}:kept"}, "--target", "toy")
    assert main([*words, "--precision", "fp32"]) == 0
