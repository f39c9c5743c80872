"""Remembered times count for one bundle, one host and one version of each engine."""

from __future__ import annotations

import pytest

from edgeexpo.runtime import remembered_times
from edgeexpo.runtime.remembered_times import recall_times, remember_times
from tests.support.offered_bundle import offered

TIMES = {("net.fp32.onnx", "onnxruntime"): 2.5, ("net.fp32.onnx", "openvino"): 1.5}


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEEXPO_CACHE", str(tmp_path / "cache"))
    return offered(tmp_path / "b", {("onnx", "fp32"): "verified"})


def test_times_are_recalled_as_they_were_kept(bundle):
    path = remember_times(bundle, TIMES)
    found, detail = recall_times(bundle)
    assert found == TIMES
    assert str(path) in detail


def test_without_times_the_fixed_order_decides(bundle):
    assert recall_times(bundle) == ({}, "no remembered times; the fixed order of engines decides")


def test_another_bundle_has_no_times(bundle, tmp_path):
    remember_times(bundle, TIMES)
    other = offered(tmp_path / "c", {("onnx", "int8"): "verified"})
    assert recall_times(other)[0] == {}


def test_times_that_were_moved_to_another_bundle_are_ignored(bundle, tmp_path):
    other = offered(tmp_path / "c", {("onnx", "int8"): "verified"})
    remember_times(bundle, TIMES).rename(remember_times(other, TIMES))
    found, detail = recall_times(other)
    assert (found, "they are of another bundle" in detail) == ({}, True)


def test_times_of_another_host_are_ignored(bundle, monkeypatch):
    remember_times(bundle, TIMES)
    monkeypatch.setattr(remembered_times, "processor_name", lambda: "another")
    found, detail = recall_times(bundle)
    assert (found, "they are of another host" in detail) == ({}, True)


def test_times_of_another_version_are_ignored(bundle, monkeypatch):
    remember_times(bundle, TIMES)
    real = remembered_times.installed_version
    monkeypatch.setattr(
        remembered_times, "installed_version", lambda p: "9" if p == "openvino" else real(p)
    )
    found, detail = recall_times(bundle)
    assert (found, "openvino changed since" in detail) == ({}, True)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"digest": 4}'])
def test_a_damaged_file_is_ignored_with_its_name(bundle, text):
    path = remember_times(bundle, TIMES)
    path.write_text(text, "utf-8")
    found, detail = recall_times(bundle)
    assert found == {}
    assert "the file is damaged" in detail


def test_an_engine_that_no_longer_exists_is_ignored(bundle):
    path = remember_times(bundle, TIMES)
    path.write_text(path.read_text("utf-8").replace("openvino", "warp"), "utf-8")
    assert "unknown engine 'warp'" in recall_times(bundle)[1]
