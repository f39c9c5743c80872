from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tiny_bundle import write_bundle, write_network

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime import load
from edgeexpo.runtime.engine import ENGINES, open_engine
from edgeexpo.runtime.executorch_engine import ExecutorchEngine
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import TARGETS, ModelSpec, SizeRange, TensorSpec

SPEC = ModelSpec("mean", "t", ("x",), (TensorSpec("y0"),), (TensorSpec("y_hat"),), halo=1)


def mean(picture):
    """Zero-padded 3x3 mean of a HxWxC picture."""
    return cv2.blur(picture, (3, 3), borderType=cv2.BORDER_CONSTANT)


def test_every_target_has_an_engine():
    assert set(ENGINES) == set(TARGETS)


@pytest.mark.parametrize("threads", [None, 1])
def test_onnx_engine_runs_the_network(tmp_path, threads):
    write_network(tmp_path / "m.onnx")
    picture = np.random.default_rng(0).random((20, 30, 3), np.float32)
    engine = open_engine("onnx", tmp_path / "m.onnx", SPEC, threads)
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
    """``y`` minus the mean of ``thumb``, one channel, tile by tile."""
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
    engine = open_engine("onnx", tmp_path / "m.onnx", spec, 1)
    sizes = SizeRange(largest=(32, 32), smallest=(16, 16))
    found = run_tiled(
        lambda i: engine.run(i)["out"], {"y": y, "thumb": thumb}, 0, sizes, spec.fixed_inputs
    )
    np.testing.assert_allclose(found, y - thumb.mean(), atol=1e-6)


@pytest.mark.parametrize("target", ["onnx", "executorch"])
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
    ],
)
def test_a_missing_engine_names_its_extra(monkeypatch, target, package, advice):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=advice):
        open_engine(target, Path("m"), SPEC)


def test_core_ml_off_macos_says_where_it_runs(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MissingDependencyError, match=r"macOS only.*interpret"):
        open_engine("coreml", Path("m"), SPEC)
