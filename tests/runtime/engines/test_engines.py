from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from edgeexpo.errors import EngineError, MissingDependencyError, UsageError
from edgeexpo.runtime import FakeEngine, load
from edgeexpo.runtime.engines import executorch
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.runtime.engines.executorch import ExecutorchEngine
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import ModelSpec, SizeRange, TensorSpec
from tests.support.tiny_bundle import write_bundle, write_network

SPEC = ModelSpec("mean", "t", ("x",), (TensorSpec("y0"),), (TensorSpec("y_hat"),), halo=1)
TASKS = "/proc/self/task"


def mean(picture):
    """Return the zero-padded 3x3 mean of a HxWxC picture."""
    return cv2.blur(picture, (3, 3), borderType=cv2.BORDER_CONSTANT)


@pytest.mark.parametrize("threads", [None, 1])
def test_onnx_engine_runs_the_network(tmp_path, threads):
    write_network(tmp_path / "m.onnx")
    picture = np.random.default_rng(0).random((20, 30, 3), np.float32)
    engine = open_engine("onnx", tmp_path / "m.onnx", SPEC, EngineOptions(threads))
    found = engine.run({"y0": np.ascontiguousarray(picture.transpose(2, 0, 1)[None])})["y_hat"]
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), mean(picture), atol=1e-6)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"y0": picture[None]})


def test_tiles_through_onnx_equal_the_whole_picture(tmp_path):
    frame = np.random.default_rng(1).random((130, 201, 3), np.float32)
    bundle = write_bundle(tmp_path / "b", frames=("frame",), front=None, back=None)
    with load(bundle, threads=1) as session:
        np.testing.assert_allclose(session(frame), mean(frame), atol=1e-5)


def test_onnx_takes_luma_and_a_thumbnail_of_its_own_size(tmp_path):
    """The network subtracts the mean of ``thumb`` from ``y``: one channel, tile by tile."""
    shapes = {"y": [1, 1, "h", "w"], "thumb": [1, 1, 8, 8], "out": [1, 1, "h", "w"]}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("ReduceMean", ["thumb"], ["mean"], axes=[2, 3]),
        helper.make_node("Sub", ["y", "mean"], ["out"]),
    ]
    graph = helper.make_graph(nodes, "net", [values["y"], values["thumb"]], [values["out"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    inputs = (TensorSpec("y", channels=1), TensorSpec("thumb", channels=1, size=(8, 8)))
    spec = ModelSpec("net", "t", ("x",), inputs, (TensorSpec("out", channels=1),), halo=0)
    y, thumb = (np.random.default_rng(0).random((*s, 1), np.float32) for s in ((60, 75), (8, 8)))
    engine = open_engine("onnx", tmp_path / "m.onnx", spec, EngineOptions(1))
    sizes = SizeRange(largest=(32, 32), smallest=(16, 16))
    found = run_tiled(
        lambda i: engine.run(i)["out"],
        {"y": y, "thumb": thumb},
        spec.footprint,
        sizes,
        spec.fixed_inputs,
    )
    np.testing.assert_allclose(found, y - thumb.mean(), atol=1e-6)


@pytest.mark.parametrize("target", ["onnx", "executorch", "litert"])
def test_a_damaged_artefact_is_an_engine_error(tmp_path, target):
    (tmp_path / "m").write_bytes(b"no network")
    with pytest.raises(EngineError, match="cannot load m") as caught:
        open_engine(target, tmp_path / "m", SPEC)
    assert "\n" not in str(caught.value)


def test_a_wrong_input_is_an_engine_error(tmp_path):
    write_network(tmp_path / "m.onnx")
    engine = open_engine("onnx", tmp_path / "m.onnx", SPEC)
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        engine.run({"y0": np.zeros((1, 4, 20, 20), np.float32)})


@pytest.mark.parametrize(
    ("outputs", "found"), [([], "nothing"), ([3], "int"), ([torch.zeros(1)] * 2, "Tensor, Tensor")]
)
def test_a_program_with_other_outputs_is_an_engine_error(outputs, found):
    engine = ExecutorchEngine(SPEC)
    engine._method = SimpleNamespace(execute=lambda _: outputs)
    with pytest.raises(EngineError, match=f"gives {found}; its manifest promises 1 tensor"):
        engine.run({"y0": np.zeros((1, 3, 4, 4), np.float32)})


@pytest.mark.parametrize(
    ("target", "package", "advice"),
    [
        ("onnx", "onnxruntime", "pip install 'edgeexpo'"),
        ("executorch", "executorch.runtime", r"pip install 'edgeexpo\[export\]'"),
        ("litert", "ai_edge_litert.interpreter", r"pip install 'edgeexpo\[litert-runtime\]'"),
    ],
)
def test_a_missing_engine_names_its_extra(monkeypatch, target, package, advice):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=advice):
        open_engine(target, Path("m"), SPEC)


def test_a_module_is_imported_without_its_package_which_is_whole_afterwards(tmp_path, monkeypatch):
    package = tmp_path / "heavy_exporter"
    package.mkdir()
    (package / "__init__.py").write_text("whole = True")
    (package / "light.py").write_text("answer = 42")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(executorch, "_EXPORTER", "heavy_exporter")
    with executorch._without_exporter():
        assert importlib.import_module("heavy_exporter.light").answer == 42
        assert not hasattr(sys.modules["heavy_exporter"], "whole")
    assert importlib.import_module("heavy_exporter").whole
    with executorch._without_exporter():  # what is imported already stays
        assert sys.modules["heavy_exporter"].whole


def test_core_ml_off_macos_says_where_it_runs(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MissingDependencyError, match=r"macOS only.*interpret"):
        open_engine("coreml", Path("m"), SPEC)


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"threads": -1}])
def test_options_of_no_thread_are_refused(wrong):
    with pytest.raises(UsageError, match=r"threads is .*; expected at least 1"):
        EngineOptions(**wrong)


@pytest.mark.parametrize("wrong", [(), (0, 0), (-1,), (1, 0, 1)])
def test_cpus_that_are_none_or_the_same_are_refused(wrong):
    with pytest.raises(UsageError, match=r"affinity is .* expected different CPUs"):
        EngineOptions(affinity=wrong)


def test_affinity_brings_a_thread_for_each_cpu():
    assert EngineOptions(affinity=(3, 5)).threads == 2
    assert EngineOptions(threads=4, affinity=(3, 5)).threads == 4


def allowed_cpus():
    """Return the CPUs on which each thread of this process may run, by thread id."""
    return {path.name: os.sched_getaffinity(int(path.name)) for path in Path(TASKS).iterdir()}


@pytest.mark.skipif(not Path(TASKS).is_dir(), reason="looks into /proc")
def test_onnx_threads_run_on_the_cpus_asked_for(tmp_path):
    """Two threads of the engine are restricted; the caller's thread keeps its affinity."""
    cpu = max(os.sched_getaffinity(0))
    write_network(tmp_path / "m.onnx")
    before = allowed_cpus()
    engine = open_engine("onnx", tmp_path / "m.onnx", SPEC, EngineOptions(3, (cpu,)))
    deadline = time.monotonic() + 10
    while True:  # each thread sets its own affinity when it starts
        after = allowed_cpus()
        started = [after[thread] for thread in after.keys() - before.keys()]
        if started == [{cpu}, {cpu}] or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert started == [{cpu}, {cpu}]
    assert {thread: after[thread] for thread in before} == before
    engine.close()


@pytest.mark.parametrize(
    ("target", "options", "advice"),
    [
        ("onnx", EngineOptions(affinity=(0,)), "with one thread .* use isolated=True"),
        ("onnx", EngineOptions(2, (0, 10**5)), r"affinity names CPU .*100000; .* may run on \d"),
        ("onnx", EngineOptions(2, (2**40,)), f"affinity names CPU .*{2**40}"),
        ("executorch", EngineOptions(2, (0,)), "isolated=True restricts its process"),
        ("executorch", EngineOptions(arena=False), "leave arena=False out"),
        ("litert", EngineOptions(2, (0,)), "isolated=True restricts its process"),
        ("litert", EngineOptions(arena=False), "leave arena=False out"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(tmp_path, target, options, advice):
    write_network(tmp_path / "m.onnx")
    with pytest.raises(EngineError, match=advice):
        open_engine(target, tmp_path / "m.onnx", SPEC, options)


def test_no_affinity_where_the_system_has_none(monkeypatch, tmp_path):
    write_network(tmp_path / "m.onnx")
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(EngineError, match="affinity needs Linux"):
        open_engine("onnx", tmp_path / "m.onnx", SPEC, EngineOptions(2, (0,)))


@pytest.mark.parametrize("options", [EngineOptions(2, (0,)), EngineOptions(arena=False)])
def test_core_ml_takes_no_options(monkeypatch, options):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EngineError, match="Core ML chooses CPUs and memory itself"):
        open_engine("coreml", Path("m"), SPEC, options)


@pytest.mark.parametrize("arena", [False, True])
def test_memory_stays_in_an_arena_or_not(tmp_path, arena):
    bundle = write_bundle(tmp_path / "b", frames=("frame",), front=None, back=None)
    frame = np.random.default_rng(1).random((60, 64, 3), np.float32)
    with load(bundle, options=EngineOptions(threads=1, arena=arena)) as session:
        found = session._steps.engine()._session.get_session_options()
        assert found.enable_cpu_mem_arena == found.enable_mem_pattern == arena
        np.testing.assert_allclose(session(frame), mean(frame), atol=1e-6)


def test_a_picture_outlives_the_runs_after_it(tmp_path):
    """Neither whole pictures nor tiles nor a bare engine reuse a returned picture's memory."""
    bundle = write_bundle(tmp_path / "b", frames=("frame",), front=None, back=None)
    frames = np.random.default_rng(2).random((3, 48, 50, 3), np.float32)
    with load(bundle, threads=1) as session:
        engine = session._steps.engine()
        tensors = [np.ascontiguousarray(f.transpose(2, 0, 1)[None]) for f in frames]
        bare = [engine.run({"y0": tensor})["y_hat"] for tensor in tensors]
        pictures = [session(frame) for frame in frames]
    for frame, tensor, picture in zip(frames, bare, pictures, strict=True):
        np.testing.assert_allclose(tensor[0].transpose(1, 2, 0), mean(frame), atol=1e-6)
        np.testing.assert_allclose(picture, mean(frame), atol=1e-6)


def test_options_come_once_and_for_the_runtimes_own_engine(tmp_path):
    bundle = write_bundle(tmp_path / "b")
    for more in ({"threads": 2}, {"engine": FakeEngine(dict)}):
        with pytest.raises(UsageError, match="options go with an engine of the runtime's own"):
            load(bundle, options=EngineOptions(2), **more)
