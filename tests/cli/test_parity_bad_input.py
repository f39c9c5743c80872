"""Tests that ``edgeexpo parity`` answers bad input with one line and without a traceback.

Inputs are bundles with wrong facts, folders without pictures and reports that cannot be written.
The reference is a recorded one, which needs neither torch nor an export.
"""

from __future__ import annotations

import dataclasses
import json

import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.cli import main
from edgeexpo.parity.cases import golden_cases
from edgeexpo.spec import TensorSpec
from tests.support.golden_bundle import write_golden_bundle

FILE = "mean.fp32.onnx"


@pytest.fixture
def folder(tmp_path):
    return write_golden_bundle(tmp_path / "bundle")


def rewrite(folder, model=None, **artifact):
    """Rewrite the manifest with other facts about its model or its artefact."""
    manifest = Bundle.open(folder).manifest
    changed = dataclasses.replace(
        manifest,
        model=dataclasses.replace(manifest.model, **(model or {})),
        artifacts=(dataclasses.replace(manifest.artifacts[0], **artifact),),
    )
    write_manifest(folder, changed)


def parity(folder, *arguments):
    return main(["parity", str(folder), "--reference", "golden", *arguments])


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_the_bundle_itself_is_sound(folder, capsys):
    assert parity(folder, "--gate", "psnr>=100") == 0
    assert "verified" in capsys.readouterr().out


def test_a_wrong_hash_is_refused(folder, capsys):
    rewrite(folder, sha256="0" * 64)
    assert parity(folder) == 2
    assert "was changed after the export" in one_line(capsys)


def test_a_wrong_number_of_channels_is_refused(folder, capsys):
    rewrite(folder, model={"inputs": (TensorSpec("y0", channels=1),)})
    assert parity(folder) == 2
    assert "golden pictures of another model" in one_line(capsys)


@pytest.mark.parametrize("claimed", [(0.0, 255.0), (0.0, 0.5), (-1.0, 0.0)])
def test_a_wrong_range_is_refused(folder, capsys, claimed):
    rewrite(folder, model={"inputs": (TensorSpec("y0", value_range=claimed),)})
    assert parity(folder) == 2
    assert "the pictures have" in one_line(capsys)


def test_a_range_is_judged_over_all_pictures_together(folder):
    golden_cases(Bundle.open(folder))
    rewrite(folder, model={"inputs": (TensorSpec("y0", value_range=(-1.0, 1.0)),)})
    golden_cases(Bundle.open(folder))


def test_an_output_that_the_artefact_does_not_have_fails_it(folder, capsys):
    rewrite(folder, model={"outputs": (TensorSpec("nothing"),)})
    assert parity(folder) == 3
    out, err = capsys.readouterr()
    assert "failed" in out
    assert "nothing" in out
    assert err.count("\n") == 1


def test_an_input_that_the_artefact_does_not_have_fails_it(tmp_path, capsys):
    folder = write_golden_bundle(tmp_path / "named", name="dark")
    assert parity(folder) == 3
    assert "dark" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "words"),
    [("executorch", "ExecuTorch"), ("coreml", "mlprogram")],
)
def test_an_artefact_of_another_engine_fails(folder, capsys, target, words):
    rewrite(folder, target=target)
    assert parity(folder, "--json") == 3
    out, err = capsys.readouterr()
    (row,) = json.loads(out)["artifacts"]
    assert row["status"] == "failed"
    assert words in row["error"]
    assert err.count("\n") == 1


def test_an_artefact_that_is_no_network_fails(folder, capsys):
    (folder / FILE).write_bytes(b"\x08\x07garbage")
    rewrite(folder, sha256=digest(folder / FILE))
    assert parity(folder) == 3
    assert "ONNX Runtime cannot load" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--report", "--junit"])
def test_a_page_that_cannot_be_written_is_said_before_the_work(folder, capsys, option, monkeypatch):
    def worked(*_, **__):
        raise AssertionError("the check ran first")

    monkeypatch.setattr("edgeexpo.parity.check.check_parity", worked)
    assert parity(folder, option, str(folder / FILE / "page")) == 1
    assert "cannot write" in one_line(capsys)


def test_recording_what_was_recorded_is_refused(folder, capsys):
    assert parity(folder, "--record") == 2
    assert "record with --reference cuda or cpu" in one_line(capsys)


def test_the_report_and_junit_are_written_for_a_failed_artefact(tmp_path, capsys):
    folder = write_golden_bundle(tmp_path / "bundle", offset=0.1)
    pages = tmp_path / "report.html", tmp_path / "ci" / "parity.xml"
    arguments = ["--report", str(pages[0]), "--junit", str(pages[1]), "--gate", "psnr>=60"]
    assert parity(folder, *arguments) == 3
    capsys.readouterr()
    assert "at least 60 dB is required" in pages[0].read_text("utf-8")
    assert "at least 60 dB is required" in pages[1].read_text("utf-8")
    command = f"edgeexpo parity {folder} --reference golden --report {pages[0]} --gate"
    assert command in pages[0].read_text("utf-8")


FOLDERS = {
    "nothing": ({}, "has no picture"),
    "no picture": ({"notes.txt": b"sea"}, "has no picture"),
    "a torn picture": ({"sea.jpg": b"\xff\xd8\xff\xe0torn"}, "sea.jpg"),
    "a file of another kind": ({"sea.png": b"GIF89a"}, "sea.png"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_holds_no_pictures_is_refused(folder, tmp_path, capsys, name):
    files, words = FOLDERS[name]
    images = tmp_path / "images"
    images.mkdir()
    for file, content in files.items():
        (images / file).write_bytes(content)
    assert main(["parity", str(folder), "--reference", "cpu", "--images", str(images)]) == 2
    assert words in one_line(capsys)
