"""Tests of ``edgeexpo parity``: a new process, the table before the verdict, and exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.records import read_records
from edgeexpo.cli import main
from edgeexpo.parity import check
from edgeexpo.runtime import load
from tests.support.tiny_bundle import write_bundle

pytestmark = pytest.mark.usefixtures("small_probes")

KEYS = {"file", "target", "precision", "passed", "verified_by", "failed_gates", "worst"}


@pytest.mark.slow
def test_a_process_that_exported_nothing_reads_the_quantised_program(exported, picture_folder):
    """Read ``quantized.pt2`` in a process in which no quantisation has registered its operators."""
    verb = ["parity", str(exported), "--images", str(picture_folder), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "edgeexpo", *verb, "--target", "onnx", "--precision", "int8"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    record = json.loads(done.stdout)
    assert record["passed"] is True
    assert set(record["reference"]) >= {"device", "name", "dtype"}
    (row,) = record["artifacts"]
    assert set(row) >= KEYS
    assert row["worst"]["psnr_quantized"] >= record["noise_floor"]


def test_a_failed_gate_prints_the_table_and_exits_3(exported, picture_folder, capsys):
    verb = ["parity", str(exported), "--images", str(picture_folder), "--precision", "int8"]
    assert main([*verb, "--target", "onnx", "--gate", "psnr>=119"]) == 3
    out, err = capsys.readouterr()
    assert "net.int8.onnx" in out
    assert "failed" in out
    assert "psnr>=119" in out
    assert err.count("\n") == 1
    assert "net.int8.onnx" in err


def test_the_report_is_written_and_float_needs_no_quantised_program(
    exported, picture_folder, tmp_path, capsys
):
    report = tmp_path / "report.html"
    verb = ["parity", str(exported), "--images", str(picture_folder), "--precision", "fp32"]
    assert main([*verb, "--target", "onnx", "--report", str(report), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [a["file"] for a in record["artifacts"]] == ["net.fp32.onnx"]
    assert "psnr_quantized" not in record["artifacts"][0]["worst"]
    assert "net.fp32.onnx" in report.read_text("utf-8")


def test_recorded_references_come_with_the_bundle(exported, capsys):
    verb = ["parity", str(exported), "--reference", "golden", "--precision", "fp32"]
    assert main([*verb, "--target", "onnx", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in record["artifacts"][0]["per_input"]} == {"photograph"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gate", "pnsr>=4"], "did you mean psnr"),
        (["--reference", "gpu"], "expected one of auto, cuda, mps, xpu, cpu, golden"),
        (["--target", "onxx"], "did you mean 'onnx'"),
        (["--images", "nowhere"], "no folder at nowhere"),
        (["--precision", "fp16"], "has no fp16 artefact"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(exported, capsys, arguments, words):
    assert main(["parity", str(exported), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err


def test_a_bundle_without_its_reference_program_is_refused(tmp_path, capsys):
    folder = write_bundle(tmp_path / "b")
    assert main(["parity", str(folder), "--target", "onnx"]) == 2
    assert "does not list 'reference.pt2'" in capsys.readouterr().err


def test_the_verdict_of_another_engine_is_kept_and_lets_the_runtime_take_it(
    exported, tmp_path, capsys
):
    bundle = tmp_path / "bundle"
    shutil.copytree(exported, bundle)
    before = Bundle.open(bundle).digest
    verb = ["parity", str(bundle), "--engine", "openvino", "--precision", "fp32"]
    assert main([*verb, "--keep", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [a["verified_by"] for a in document["artifacts"]] == ["openvino"]
    (record,) = read_records(Bundle.open(bundle))
    assert [record.name] == document["kept"]
    assert (record.engine, record.status) == ("openvino", "verified")
    assert record.worst["max_abs"] <= 1e-4
    assert Bundle.open(bundle).digest == before
    with load(bundle, precision="fp32") as session:
        assert session.engine_name == "openvino"


def test_a_verdict_on_other_pictures_or_bounds_is_not_kept(exported, picture_folder, capsys):
    for more in (["--images", str(picture_folder)], ["--gate", "psnr>=10"]):
        assert main(["parity", str(exported), "--keep", *more]) == 2
        assert "--keep is for checks on the bundle's own gates" in capsys.readouterr().err


def test_an_engine_that_the_processor_cannot_run_leaves_the_artefact_unverified(
    exported, picture_folder, monkeypatch
):
    monkeypatch.setattr(check, "cpu_features", lambda: ("avx2",))
    report = check.check_parity(
        exported, images=picture_folder, engine="openvino", precision="int8"
    )
    (verdict,) = report.artifacts
    assert verdict.status == "unverified"
    assert "openvino computes int8 rightly only on processors with avx512_vnni" in verdict.error
    assert report.passed


def test_an_engine_is_not_given_another_targets_files(exported, capsys):
    assert main(["parity", str(exported), "--engine", "openvino", "--target", "executorch"]) == 2
    assert "no artefact for openvino, which runs int8 and fp32 files" in capsys.readouterr().err


def test_an_engine_without_artefacts_is_one_line(exported, capsys):
    verb = ["parity", str(exported), "--engine", "openvino-bf16", "--precision", "int8"]
    assert main(verb) == 2
    assert "no artefact for openvino-bf16, which runs fp32 files of onnx" in capsys.readouterr().err
