"""The artefact and engine that a request gets, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.bundle.records import write_record
from edgeexpo.engine_versions import EngineVersions, WrongVersions
from edgeexpo.errors import BundleError, EngineError, UsageError
from edgeexpo.runtime import FakeEngine, engine_choice, load, remembered_times
from edgeexpo.runtime.engine_choice import choices, fault_of
from tests.support.offered_bundle import offered, recorded

ALL = {
    ("onnx", "fp32"): "verified",
    ("onnx", "int8"): "verified",
    ("executorch", "int8"): "verified",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEEXPO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """Pretend that the processor has every feature, so that no engine lacks one."""
    monkeypatch.setattr(engine_choice, "cpu_features", lambda: ("avx2", "avx512_vnni"))


def ranked(bundle, **request):
    return [(c.artifact.file, c.runner.name) for c in choices(bundle, **request).ranked]


def test_int8_comes_first_and_then_the_order_of_the_targets(tmp_path):
    bundle = offered(tmp_path / "b", ALL)
    assert ranked(bundle) == [
        ("net.int8.onnx", "onnxruntime"),
        ("net.int8.executorch", "executorch"),
    ]
    assert ranked(bundle, precision="fp32") == [("net.fp32.onnx", "onnxruntime")]


def test_what_failed_is_left_out_and_said(tmp_path):
    bundle = offered(tmp_path / "b", {**ALL, ("onnx", "int8"): "failed"})
    assert ranked(bundle) == [("net.int8.executorch", "executorch")]
    only = offered(tmp_path / "c", {("onnx", "fp32"): "verified", ("onnx", "int8"): "failed"})
    found = choices(only)
    assert [c.artifact.file for c in found.ranked] == ["net.fp32.onnx"]
    assert found.notes == ("edgeexpo: net.int8.onnx failed its gates and is not used",)


@pytest.mark.parametrize(
    "request_", [{"precision": "int8"}, {"target": "onnx"}, {"engine": "onnxruntime"}]
)
def test_what_failed_is_taken_if_it_is_named_and_said(tmp_path, request_):
    bundle = offered(tmp_path / "b", {("onnx", "int8"): "failed"})
    found = choices(bundle, **request_)
    assert [c.artifact.file for c in found.ranked] == ["net.int8.onnx"]
    assert "net.int8.onnx failed its gates and is used because it was named" in found.notes[0]


def test_a_bundle_whose_artefacts_all_failed_is_refused(tmp_path):
    bundle = offered(tmp_path / "b", {("onnx", "int8"): "failed", ("onnx", "fp32"): "failed"})
    with pytest.raises(BundleError, match=r"net\.int8\.onnx, net\.fp32\.onnx.*export again"):
        choices(bundle)


def test_another_engine_is_taken_where_a_record_proves_it(tmp_path):
    bundle = offered(tmp_path / "b", ALL)
    write_record(bundle, recorded(bundle, "net.int8.onnx", "openvino", "verified"))
    assert ranked(bundle)[0] == ("net.int8.onnx", "openvino")
    write_record(bundle, recorded(bundle, "net.int8.onnx", "openvino", "failed"))
    assert ("net.int8.onnx", "openvino") not in ranked(bundle)


def test_another_engine_is_taken_by_name_without_a_record(tmp_path):
    bundle = offered(tmp_path / "b", ALL)
    assert ranked(bundle, engine="openvino") == [("net.int8.onnx", "openvino")]
    assert ranked(bundle, engine="openvino-bf16") == [("net.fp32.onnx", "openvino-bf16")]


def test_an_engine_without_a_fitting_artefact_is_refused(tmp_path):
    bundle = offered(tmp_path / "b", {("onnx", "int8"): "verified"})
    with pytest.raises(BundleError, match="no artefact for openvino-bf16, which runs fp32 files"):
        choices(bundle, engine="openvino-bf16")
    with pytest.raises(UsageError, match="unknown engine 'warp'; expected one of"):
        choices(bundle, engine="warp")


def test_remembered_times_decide_within_the_precision(tmp_path):
    bundle = offered(tmp_path / "b", ALL)
    times = {
        ("net.int8.onnx", "onnxruntime"): 9.0,
        ("net.int8.executorch", "executorch"): 4.0,
        ("net.fp32.onnx", "onnxruntime"): 1.0,
    }
    remembered_times.remember_times(bundle, times)
    assert ranked(bundle)[0] == ("net.int8.executorch", "executorch")
    assert "net.int8.executorch in executorch: verified, 4.0 ms" in choices(bundle).details


def test_an_engine_that_was_measured_and_is_not_proven_is_not_taken(tmp_path):
    bundle = offered(tmp_path / "b", ALL)
    remembered_times.remember_times(bundle, {("net.int8.onnx", "openvino"): 0.1})
    assert ("net.int8.onnx", "openvino") not in ranked(bundle)


def test_a_processor_without_the_instructions_is_named(tmp_path, monkeypatch):
    bundle = offered(tmp_path / "b", ALL)
    monkeypatch.setattr(engine_choice, "cpu_features", lambda: ("avx2",))
    (found,) = choices(bundle, engine="openvino").ranked
    assert "openvino computes int8 rightly only on processors with avx512_vnni" in fault_of(
        bundle, found
    )


def test_a_wrong_version_that_the_manifest_names_gives_way_to_the_next(
    tmp_path, monkeypatch, capsys
):
    wrong = WrongVersions("1", "99", None, "int8", "it errs")
    bundle = offered(
        tmp_path / "b", ALL, {"onnxruntime": EngineVersions("onnxruntime", wrong=(wrong,))}
    )
    opened = []

    def open_engine_class(engine, path, spec, options):
        opened.append(path.name)
        return FakeEngine(lambda inputs: {"y": inputs["x"]})

    monkeypatch.setattr("edgeexpo.runtime.session.open_engine_class", open_engine_class)
    with load(bundle.path) as session:
        session(np.zeros((32, 32, 3), np.uint8))
    assert opened == ["net.int8.executorch"]
    assert "computes int8 files wrongly: it errs" in capsys.readouterr().err
    with pytest.raises(EngineError, match="computes int8 files wrongly: it errs"):
        load(bundle.path, target="onnx", precision="int8")
