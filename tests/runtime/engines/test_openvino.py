"""OpenVINO computes what ONNX Runtime computes, at any size, and refuses in one line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime.engines.base import EngineOptions, open_engine, open_engine_class
from edgeexpo.runtime.engines.openvino import SIZES_KEPT, OpenvinoBf16Engine, OpenvinoEngine
from edgeexpo.spec import ModelSpec, TensorSpec
from edgeexpo.targets import runner_named

SPEC = ModelSpec("net", "t", ("x",), (TensorSpec("x"),), (TensorSpec("y", 3),), 1)
ENGINE = runner_named("openvino")[1].engine


def model(path, nodes, initializers=()):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", onnx.TensorProto.FLOAT, [1, 3, "height", "width"])],
        [value("y", onnx.TensorProto.FLOAT, None)],
        list(initializers),
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def convolution(path):
    kernel = np.random.default_rng(0).normal(size=(12, 3, 3, 3)).astype(np.float32)
    return model(
        path,
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="DCR"),
        ],
        [onnx.numpy_helper.from_array(kernel, "w")],
    )


def picture(height, width):
    return {"x": np.random.default_rng(1).random((1, 3, height, width), dtype=np.float32)}


@pytest.mark.parametrize("size", [(8, 8), (5, 17), (16, 9)])
def test_depth_to_space_is_that_of_onnx_runtime(tmp_path, size):
    path = convolution(tmp_path / "net.onnx")
    expected = open_engine("onnx", path, SPEC).run(picture(*size))["y"]
    engine = open_engine_class(ENGINE, path, SPEC, EngineOptions(1))
    assert engine.name == "openvino"
    np.testing.assert_allclose(engine.run(picture(*size))["y"], expected, atol=1e-5)


def test_phases_of_a_transposed_convolution_load_in_int8(tmp_path):
    """OpenVINO cannot compile a DepthToSpace behind a Concat of quantised tensors by itself."""
    scale = onnx.numpy_helper.from_array(np.float32(0.01), "scale")
    zero = onnx.numpy_helper.from_array(np.uint8(128), "zero")
    kernels = np.random.default_rng(0).integers(-40, 40, (4, 3, 3, 1, 1)).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
    ]
    weights = [scale, zero, onnx.numpy_helper.from_array(np.int8(0), "none")]
    for i, kernel in enumerate(kernels):
        weights.append(onnx.numpy_helper.from_array(kernel, f"w{i}"))
        nodes += [
            helper.make_node("DequantizeLinear", [f"w{i}", "scale", "none"], [f"f{i}"]),
            helper.make_node("Conv", ["d", f"f{i}"], [f"c{i}"]),
            helper.make_node("QuantizeLinear", [f"c{i}", "scale", "zero"], [f"q{i}"]),
            helper.make_node("DequantizeLinear", [f"q{i}", "scale", "zero"], [f"p{i}"]),
        ]
    nodes += [
        helper.make_node("Concat", ["p0", "p1", "p2", "p3"], ["phases"], axis=1),
        helper.make_node("QuantizeLinear", ["phases", "scale", "zero"], ["qp"]),
        helper.make_node("DequantizeLinear", ["qp", "scale", "zero"], ["dp"]),
        helper.make_node("DepthToSpace", ["dp"], ["s"], blocksize=2, mode="DCR"),
        helper.make_node("QuantizeLinear", ["s", "scale", "zero"], ["qs"]),
        helper.make_node("DequantizeLinear", ["qs", "scale", "zero"], ["y"]),
    ]
    path = model(tmp_path / "net.onnx", nodes, weights)
    expected = open_engine("onnx", path, SPEC).run(picture(6, 10))["y"]
    found = open_engine_class(ENGINE, path, SPEC).run(picture(6, 10))["y"]
    assert np.abs(found - expected).max() <= 0.0101  # one code, where a sum is at a half


def test_only_the_last_sizes_are_kept(tmp_path):
    engine = OpenvinoEngine(SPEC)
    engine.load(convolution(tmp_path / "net.onnx"))
    for side in range(4, 4 + SIZES_KEPT + 3):
        engine.run(picture(side, side))
    assert len(engine._compiled) == SIZES_KEPT


def test_outputs_of_a_run_outlive_the_next_run(tmp_path):
    engine = open_engine_class(ENGINE, convolution(tmp_path / "net.onnx"), SPEC)
    first = engine.run(picture(8, 8))["y"]
    kept = first.copy()
    engine.run({"x": np.zeros((1, 3, 8, 8), np.float32)})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"OpenVINO cannot load net\.onnx: ") as refusal:
        open_engine_class(ENGINE, tmp_path / "net.onnx", SPEC)
    assert "\n" not in str(refusal.value)
    assert "src/" not in str(refusal.value)


@pytest.mark.parametrize("options", [EngineOptions(2, (0, 1)), EngineOptions(arena=False)])
def test_options_that_openvino_lacks_are_refused(tmp_path, options):
    with pytest.raises(EngineError, match="OpenVINO"):
        open_engine_class(ENGINE, convolution(tmp_path / "net.onnx"), SPEC, options)


def test_a_closed_engine_says_so(tmp_path):
    engine = open_engine_class(ENGINE, convolution(tmp_path / "net.onnx"), SPEC)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.run(picture(8, 8))


def test_a_missing_openvino_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[openvino\]"):
        open_engine_class(ENGINE, convolution(tmp_path / "net.onnx"), SPEC)


def test_bf16_is_refused_where_openvino_computes_in_another_precision(tmp_path):
    engine = OpenvinoBf16Engine(SPEC)
    engine.load(convolution(tmp_path / "net.onnx"))
    engine._core = Elsewhere()
    with pytest.raises(EngineError, match="computes in f32 on this processor, not in bf16"):
        engine.run(picture(8, 8))


class Elsewhere:
    """A core of a processor without BF16."""

    def compile_model(self, *_):
        return self

    def get_property(self, name):
        assert name == "INFERENCE_PRECISION_HINT"
        return self

    def to_string(self):
        return "f32"
