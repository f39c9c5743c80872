from __future__ import annotations

from xml.etree import ElementTree

import pytest

from edgeexpo.errors import OutputError
from edgeexpo.parity.golden import Device
from edgeexpo.parity.report.junit import write_junit
from edgeexpo.parity.verdict import ArtifactParity, ParityReport


def report():
    worst = {"psnr": 33.25, "ssim": 0.9}
    gates = ("psnr>=40, found 33.25 in sea", "ssim>=0.98, found 0.9")
    failed = ArtifactParity("n.onnx", "onnx", "int8", "failed", "onnxruntime", "x", gates, worst)
    crashed = ArtifactParity("n.pte", "executorch", "int8", "failed", error="died \x00 of <it>")
    absent = ArtifactParity("n.mlpackage", "coreml", "int8", "unverified", error="no engine")
    fine = ArtifactParity("m.onnx", "onnx", "fp32", "verified", "onnxruntime", worst={"psnr": 120})
    return ParityReport("n", Device("cpu", "CPU"), (failed, crashed, absent, fine), None, ())


@pytest.fixture
def suite(tmp_path):
    write_junit(report(), tmp_path / "parity.xml")
    root = ElementTree.parse(tmp_path / "parity.xml").getroot()
    assert root.tag == "testsuites"
    return root[0]


def test_the_counts_are_those_of_the_artefacts(suite):
    counts = {k: suite.get(k) for k in ("tests", "failures", "skipped", "errors")}
    assert counts == {"tests": "4", "failures": "2", "skipped": "1", "errors": "0"}


def test_failed_gates_are_told_in_words(suite):
    failure = suite.find("testcase[@name='n.onnx']/failure")
    assert failure.get("message").startswith("PSNR on the worst photograph: found 33.25 dB")
    assert len(failure.text.splitlines()) == 2


def test_a_message_that_xml_cannot_hold_is_made_to_fit(suite):
    assert suite.find("testcase[@name='n.pte']/failure").text == "died ? of <it>"


def test_unverified_is_skipped_with_its_reason_and_verified_is_neither(suite):
    assert suite.find("testcase[@name='n.mlpackage']/skipped").get("message") == "no engine"
    fine = suite.find("testcase[@name='m.onnx']")
    assert [child.tag for child in fine] == ["properties"]
    found = {p.get("name"): p.get("value") for p in fine[0]}
    assert found["psnr"] == "120"
    assert found["verified_by"] == "onnxruntime"


def test_a_file_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        write_junit(report(), tmp_path / "file" / "parity.xml")
