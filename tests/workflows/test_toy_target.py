"""A new target: every verb supports it after one record is added."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.cli import doctor, main
from edgeexpo.errors import BundleError, EngineError, UsageError
from edgeexpo.evaluation.predict import candidates
from edgeexpo.parity.check import check_parity
from edgeexpo.parity.localisation.localisation import localise
from edgeexpo.parity.provenance import provenance
from edgeexpo.runtime import load
from edgeexpo.workflows.export import export_bundle
from tests.support.networks import NETWORK
from tests.support.pictures import smooth_picture
from tests.support.toy_target import TOY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_probes")]

FRAME = (smooth_picture(48, 56, 3) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def toy_record():
    """Add the record to the table of targets. Nothing else of the product changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "TARGETS", {**targets.TARGETS, TOY.name: TOY})
        # The timing child is started with -m and has to find the module of the toy target.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        yield


@pytest.fixture(scope="module")
def toy_bundle(toy_record, tmp_path_factory, picture_folder) -> Path:
    """Export a user's network to the toy target and to ONNX, verify it, and return the folder."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "net.py").write_text(NETWORK)
    bundle = export_bundle(
        f"{folder / 'net.py'}:net",
        targets=("toy", "onnx"),
        precision="fp32",
        images=picture_folder,
        inputs=("photo=1x3x64x64",),
        output=folder / "bundle",
    )
    return bundle.path


def test_it_is_exported_and_verified_in_a_process_of_its_own(toy_bundle):
    bundle = Bundle.open(toy_bundle)
    toy = bundle.select("toy")
    assert toy.file == "net.fp32.toy"
    assert (toy.status, toy.verified_by) == ("verified", "toy-numpy")
    assert bundle.manifest.status == "verified"
    assert "numpy" in bundle.manifest.tools
    assert "run by numpy" in (toy_bundle / "report.html").read_text("utf-8")
    bundle.verify()


def test_it_comes_last_by_preference_and_first_by_name(toy_bundle):
    assert [a.target for a in Bundle.open(toy_bundle).by_preference()] == ["onnx", "toy"]
    with load(toy_bundle) as session:
        assert session.engine_name == "onnxruntime"


@pytest.mark.parametrize("isolated", [False, True])
def test_the_runtime_runs_it(toy_bundle, isolated):
    with load(toy_bundle, target="onnx") as session:
        expected = session(FRAME)
    with load(toy_bundle, target="toy", isolated=isolated) as session:
        assert session.engine_name == "toy-numpy"
        found = session(FRAME)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_run_writes_its_picture(toy_bundle, tmp_path, capsys):
    Image.fromarray(FRAME).save(tmp_path / "frame.png")
    output = tmp_path / "out.png"
    arguments = ["--target", "toy", "-o", str(output), "--json"]
    assert main(["run", str(toy_bundle), str(tmp_path / "frame.png"), *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["target"], document["engine"]) == ("toy", "toy-numpy")
    with Image.open(output) as picture:
        assert picture.size == (56, 48)


def test_parity_checks_it_again(toy_bundle, picture_folder):
    report = check_parity(toy_bundle, images=picture_folder, target="toy")
    assert report
    assert [a.verified_by for a in report.artifacts] == ["toy-numpy"]


def test_bench_times_it_in_a_process_that_has_no_record_of_it(toy_bundle, capsys):
    arguments = ["--target", "toy", "--runs", "2", "--threads", "1", "--json"]
    assert main(["bench", str(toy_bundle), *arguments]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][-1]
    assert (row["engine"], row["target"], row["note"]) == ("toy-numpy", "toy", None)
    assert row["ms_p50"] > 0


def test_inspect_reads_its_file(toy_bundle, tmp_path, capsys):
    assert main(["inspect", str(toy_bundle / "net.fp32.toy"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "toy"
    assert document["operators"]["aten.conv2d.default"] == 2
    (tmp_path / "bad.toy").write_bytes(b"no archive")
    assert main(["inspect", str(tmp_path / "bad.toy")]) == BundleError.exit_code
    assert "is not a toy archive" in capsys.readouterr().err


def test_evaluate_opens_it_beside_the_others(toy_bundle):
    with candidates(str(toy_bundle), target="toy") as found:
        assert [(c.target, c.session.engine_name) for c in found] == [("toy", "toy-numpy")]


def test_doctor_and_provenance_know_it(toy_bundle, monkeypatch):
    monkeypatch.setattr(doctor, "_importable", lambda module: "usable")
    assert doctor.engines()["toy-numpy"] == "usable"
    listed = [library for library, _, _ in provenance(Bundle.open(toy_bundle)).versions]
    assert listed.count("numpy") == 1


def test_the_command_line_offers_it(toy_record, capsys):
    assert main(["export", "--help"]) == 0
    assert "toy" in capsys.readouterr().out


def test_a_precision_that_it_lacks_is_refused_before_any_work(toy_record, tmp_path):
    with pytest.raises(UsageError, match="toy does not support int8; expected a `precision` of"):
        export_bundle("lrl", targets=("toy",), output=tmp_path / "bundle")


def test_debug_says_which_files_it_looks_into(toy_bundle):
    with pytest.raises(UsageError, match="does not look into toy files; expected one of onnx"):
        localise(toy_bundle, target="toy")


def test_a_damaged_file_is_an_engine_error(toy_bundle, tmp_path):
    from edgeexpo.runtime.engines.base import open_engine

    (tmp_path / "bad.toy").write_bytes(b"no archive")
    with pytest.raises(EngineError, match="cannot load bad"):
        open_engine("toy", tmp_path / "bad.toy", Bundle.open(toy_bundle).manifest.model)


def test_without_its_record_the_bundle_is_refused(toy_bundle, monkeypatch):
    without = {name: record for name, record in targets.TARGETS.items() if name != "toy"}
    monkeypatch.setattr(targets, "TARGETS", without)
    with pytest.raises(BundleError, match=r"is 'toy', expected one of onnx, executorch"):
        Bundle.open(toy_bundle)
