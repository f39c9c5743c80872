"""Engines in another process compute the same numbers, and a crash or a hang stays there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.parity import check_parity, isolation
from edgeexpo.runtime.engines import base as engines
from tests.support.tiny_bundle import write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture
def picture():
    return {"y0": np.random.default_rng(0).random((1, 3, 48, 40), dtype=np.float32)}


def write_endless(path):
    """Write an ONNX file: ``y_hat = y0`` after a loop of 2^62 rounds."""
    shape = [1, 3, "h", "w"]
    scalar, flag = (
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("i", TensorProto.INT64), ("on", TensorProto.BOOL))
    )
    state = helper.make_tensor_value_info("s", TensorProto.INT64, [])
    after = helper.make_tensor_value_info("s2", TensorProto.INT64, [])
    still = helper.make_tensor_value_info("on2", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "i"], ["s2"]),
            helper.make_node("Identity", ["on"], ["on2"]),
        ],
        "body",
        [scalar, flag, state],
        [still, after],
    )
    nodes = [
        helper.make_node("Loop", ["rounds", "yes", "zero"], ["sum"], body=body),
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["y0", "float"], ["y_hat"]),
    ]
    constants = [
        helper.make_tensor("rounds", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("y0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y_hat", TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    path = tmp_path_factory.mktemp("endless") / "endless.onnx"
    write_endless(path)
    return path


def test_another_process_computes_the_same_numbers(bundle, picture):
    spec, path = bundle.manifest.model, bundle.path / "mean.fp32.onnx"
    here = engines.open_engine("onnx", path, spec)
    there = isolation.open_lab_engine("onnx", path, spec)
    assert there.name == here.name == "onnxruntime"
    for _ in range(2):
        np.testing.assert_array_equal(there.run(picture)["y_hat"], here.run(picture)["y_hat"])
    there.close()
    there.close()
    with pytest.raises(EngineError, match="is closed"):
        there.run(picture)


def test_a_process_serves_the_next_engine_too(bundle):
    first = isolation.open_lab_engine("onnx", bundle.path / "mean.fp32.onnx", bundle.manifest.model)
    worker = first._worker
    first.close()
    second = isolation.open_lab_engine(
        "onnx", bundle.path / "mean.fp32.onnx", bundle.manifest.model
    )
    assert second._worker is worker
    second.close()


def test_an_idle_process_that_was_ended_is_not_used(bundle, picture):
    spec, path = bundle.manifest.model, bundle.path / "mean.fp32.onnx"
    first = isolation.open_lab_engine("onnx", path, spec)
    worker = first._worker
    first.close()
    worker._process.kill()
    worker._process.wait()
    second = isolation.open_lab_engine("onnx", path, spec)
    assert second._worker is not worker
    assert second.run(picture)["y_hat"].shape == (1, 3, 48, 40)
    second.close()


def test_an_interrupt_ends_the_process(bundle, endless, picture, monkeypatch):
    engine = isolation.open_lab_engine("onnx", endless, bundle.manifest.model)
    process = engine._worker._process

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._worker, "_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run(picture)
    assert process.poll() is not None


def test_a_crash_at_the_end_leaves_what_was_computed(bundle, picture):
    engine = isolation.open_lab_engine(
        "onnx", bundle.path / "mean.fp32.onnx", bundle.manifest.model
    )
    worker = engine._worker
    engine.run(picture)
    worker._process.kill()
    worker._process.wait()
    engine.close()
    assert worker not in isolation._idle


def test_two_engines_have_a_process_each(bundle, picture):
    spec, path = bundle.manifest.model, bundle.path / "mean.fp32.onnx"
    pair = [isolation.open_lab_engine("onnx", path, spec) for _ in range(2)]
    assert pair[0]._worker is not pair[1]._worker
    outputs = [engine.run(picture)["y_hat"] for engine in pair]
    np.testing.assert_array_equal(*outputs)
    for engine in pair:
        engine.close()


def test_an_engine_that_hangs_is_ended(bundle, endless, picture):
    engine = isolation.open_lab_engine("onnx", endless, bundle.manifest.model, limit=60)
    process = engine._worker._process
    engine._limit = 0.5
    with pytest.raises(EngineError, match=r"endless.onnx hangs .* to run within 0.5 s"):
        engine.run(picture)
    assert process.poll() is not None
    engine.close()


def test_an_engine_that_crashes_is_named_with_its_signal(bundle, endless, picture):
    engine = isolation.open_lab_engine("onnx", endless, bundle.manifest.model)
    process = engine._worker._process

    def crash():
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGSEGV)

    threading.Thread(target=crash).start()
    with pytest.raises(EngineError, match="crashes its engine: its process ended with SIGSEGV"):
        engine.run(picture)


def test_an_error_that_no_engine_declares_is_a_crash_with_its_last_words(bundle, monkeypatch):
    onnx_target = targets.target_named("onnx")
    broken = dataclasses.replace(onnx_target.runner, engine="builtins:nothing")
    record = dataclasses.replace(onnx_target, name="nothing", runner=broken)
    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "nothing": record})
    with pytest.raises(EngineError, match=r"exit code 1; AttributeError: .*'nothing'"):
        isolation.open_lab_engine("nothing", bundle.path / "mean.fp32.onnx", bundle.manifest.model)


def test_what_an_engine_refuses_is_told_in_its_words(bundle, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(EngineError, match="ONNX Runtime cannot load bad"):
        isolation.open_lab_engine("onnx", tmp_path / "bad.onnx", bundle.manifest.model)


def test_a_missing_engine_stays_a_missing_dependency(bundle, monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(isolation, "_idle", [])
    with pytest.raises(MissingDependencyError, match="onnxruntime is not installed"):
        isolation.open_lab_engine("onnx", bundle.path / "mean.fp32.onnx", bundle.manifest.model)


def test_a_script_without_a_guard_is_not_run_twice(bundle, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from edgeexpo.bundle.bundle import Bundle\n"
        "from edgeexpo.parity.isolation import open_lab_engine\n"
        f"bundle = Bundle.open({str(bundle.path)!r})\n"
        "path = bundle.path / 'mean.fp32.onnx'\n"
        "print(open_lab_engine('onnx', path, bundle.manifest.model).name)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "onnxruntime\n"
    assert done.stderr == ""


@pytest.mark.slow
def test_an_artefact_that_hangs_fails_alone(exported, picture_folder, tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    shutil.copytree(exported, folder)
    write_endless(folder / "net.fp32.onnx")
    manifest = Bundle.open(folder).manifest
    artifacts = [dataclasses.replace(a, sha256=digest(folder / a.file)) for a in manifest.artifacts]
    write_manifest(folder, dataclasses.replace(manifest, artifacts=tuple(artifacts)))
    monkeypatch.setattr(isolation, "TIME_LIMIT", 10)
    report = check_parity(folder, images=picture_folder, target="onnx")
    found = {a.file: a for a in report.artifacts}
    assert found["net.fp32.onnx"].status == "failed"
    assert "hangs its engine" in found["net.fp32.onnx"].error
    assert found["net.int8.onnx"].status == "verified"
    assert not report
