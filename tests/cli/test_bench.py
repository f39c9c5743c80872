"""Tests of ``edgeexpo bench``: programs take turns in processes of their own, next to torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import onnx
import pytest
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest, size_in_bytes, staged
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.cli import main
from edgeexpo.errors import EngineError, UsageError
from edgeexpo.runtime.remembered_times import recall_times
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, TensorSpec
from edgeexpo.workflows import bench, latency

SPEC = ModelSpec("net", "test", ("y0",), (TensorSpec("y0"),), (TensorSpec("y"),), 1)
SIZES = SizeRange((32, 48), (16, 16), multiple=2)


class Net(torch.nn.Module):
    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return torch.relu(y0)


def onnx_file(path: Path, node: str = "Relu") -> Path:
    tensor = onnx.helper.make_tensor_value_info
    shape = [1, 3, "height", "width"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(node, ["y0"], ["y"])],
        "net",
        [tensor("y0", onnx.TensorProto.FLOAT, shape)],
        [tensor("y", onnx.TensorProto.FLOAT, shape)],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def artifact(path: Path, target: str, precision: str) -> Artifact:
    return Artifact(path.name, target, precision, digest(path), size_in_bytes(path), SIZES)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "net"
    with staged(folder) as staging:
        program = torch.export.export(Net(), (torch.rand(1, 3, 16, 24),))
        torch.export.save(program, staging / "reference.pt2")
        (staging / "net.int8.mlpackage").mkdir()
        (staging / "net.int8.mlpackage" / "Manifest.json").write_text("{}", "utf-8")
        artifacts = (
            artifact(onnx_file(staging / "net.fp32.onnx"), "onnx", "fp32"),
            artifact(onnx_file(staging / "net.int8.onnx"), "onnx", "int8"),
            artifact(staging / "net.int8.mlpackage", "coreml", "int8"),
        )
        files = {"reference.pt2": digest(staging / "reference.pt2")}
        recipe = ExportRecipe("net.py:Net", ("onnx",), ("fp32",), (16, 24), "", (), {})
        write_manifest(staging, Manifest(SPEC, recipe, artifacts, files, {}))
    return folder


@pytest.mark.slow
def test_every_artefact_is_a_row_next_to_torch(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(bundle), "--runs", "3", "--threads", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["host"]["cores"] >= 1
    rows = {(row["engine"], row["precision"]): row for row in document["rows"]}
    reference = rows["torch", "fp32"]
    assert reference["file"] is None
    for row in (reference, rows["onnxruntime", "fp32"], rows["onnxruntime", "int8"]):
        assert row["size"] == [16, 24]
        assert row["threads"] == 1
        assert 0 < row["ms_p50"] <= row["ms_p90"]
        assert row["speedup_torch"] == pytest.approx(
            reference["ms_p50"] / row["ms_p50"], rel=0.2, abs=0.02
        )
    assert rows["onnxruntime", "fp32"]["speedup_fp32"] == 1
    assert rows["onnxruntime", "fp32"]["bytes"] == size_in_bytes(bundle / "net.fp32.onnx")
    # ONNX Runtime runs in a process of its own, so its memory does not include torch.
    assert rows["onnxruntime", "fp32"]["peak_rss_mb"] < 0.7 * reference["peak_rss_mb"]


def test_core_ml_is_never_timed_elsewhere(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency.sys, "platform", "linux")
    monkeypatch.setattr(bench, "measure_latency", lambda contenders, runs: None)
    assert main(["bench", str(bundle), "--target", "coreml", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][-1]
    assert (row["engine"], row["ms_p50"]) == ("coreml", None)
    assert "not measurable on this host" in row["note"]
    assert row["bytes"] > 0
    assert main(["bench", str(bundle), "--target", "coreml"]) == 0
    assert "not measurable on this host" in capsys.readouterr().out


def test_what_is_not_there_is_said(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert main(["bench", str(bundle), "--json"]) == 0
    notes = [row["note"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert "torch is not installed" in notes
    assert "onnxruntime is not installed" in notes
    assert main(["bench", str(bundle), "--target", "onnx"]) == 4


def test_remembered_times_are_those_of_the_rows(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(contenders: list[latency.Contender], runs: int) -> None:
        for place, contender in enumerate(contenders):
            contender.ms = [place + 1.0] * runs

    monkeypatch.setenv("EDGEEXPO_CACHE", str(tmp_path))
    monkeypatch.setattr(bench, "measure_latency", measured)
    assert main(["bench", str(bundle), "--runs", "2", "--remember"]) == 0
    times, _ = recall_times(Bundle.open(bundle))
    assert times["net.fp32.onnx", "onnxruntime"] < times["net.fp32.onnx", "openvino"]
    assert {engine for _, engine in times} <= {"onnxruntime", "openvino", "openvino-bf16"}


@pytest.mark.parametrize("size", ["8,24", "64,24", "17,24"])
def test_a_size_that_an_artefact_refuses_is_refused_first(
    bundle: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    assert main(["bench", str(bundle), "--size", size]) == 2
    assert "give a --size of 16,16 to 32,48 in steps of 2" in capsys.readouterr().err


def test_enumerated_sizes_are_the_only_ones(bundle: Path) -> None:
    sizes = SizeRange((64, 64), (16, 16), enumerated=((16, 16), (64, 64)))
    listed = dataclasses.replace(Bundle.open(bundle).manifest.artifacts[0], sizes=sizes)
    latency.check_bench_size(listed, (64, 64))
    with pytest.raises(UsageError, match="16,16, 64,64"):
        latency.check_bench_size(listed, (32, 32))


def contender(bundle: Path, path: Path) -> latency.Contender:
    opened = Bundle.open(bundle)
    return latency.Contender(
        opened.manifest.model, opened.manifest.artifacts[0], path, (16, 24), 1, opened.path
    )


def test_an_engine_that_refuses_the_file_is_named(bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "net.fp32.onnx"
    broken.write_bytes(b"garbage")
    with pytest.raises(EngineError, match=r"net\.fp32\.onnx"):
        latency.measure_latency([contender(bundle, broken)], runs=1)


def test_a_child_that_dies_is_an_engine_error(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency.sys, "executable", "/bin/false")
    with pytest.raises(EngineError, match="ended with exit code 1"):
        latency.measure_latency([contender(bundle, bundle / "net.fp32.onnx")], runs=1)


def test_rows_are_medians_and_ratios_of_one_bundle(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    fp32, int8, _ = opened.manifest.artifacts
    model, folder = opened.manifest.model, opened.path
    path, size = folder / "reference.pt2", (16, 24)
    reference = latency.Contender(model, None, path, size, 2, folder, ms=[40.0, 10.0, 20.0])
    slow = latency.Contender(model, fp32, path, size, 2, folder, ms=[10.0] * 5, peak_rss_mb=1.234)
    fast = latency.Contender(
        model, int8, path, size, 2, folder, ms=[float(n) for n in range(1, 12)]
    )
    rows = latency.rows([reference, slow, fast])
    assert [row["ms_p50"] for row in rows] == [20, 10, 6]
    assert [row["ms_p90"] for row in rows] == [36, 10, 10]
    assert [row["speedup_torch"] for row in rows] == [1, 2, 3.33]
    assert [row["speedup_fp32"] for row in rows] == [1, 1, 1.67]
    assert rows[1]["peak_rss_mb"] == 1.2
