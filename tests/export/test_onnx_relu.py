"""Tests that ReLUs stay in integer convolutions if their codes also hold negative numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from edgeexpo.export.onnx_relu import relu_codes
from edgeexpo.inspection.census import onnxruntime_census


def model(zero, *, read_twice=False):
    """Return a model: codes -> Conv -> Relu -> codes with zero point ``zero`` -> float."""
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.02),
        "x_zero": np.uint8(0),
        "weight": rng.integers(0, 256, (6, 4, 3, 3)).astype(np.uint8),
        "weight_scale": np.linspace(0.001, 0.003, 6, dtype=np.float32),
        "weight_zero": np.full(6, 128, np.uint8),
        "y_scale": np.float32(0.03),
        "y_zero": np.uint8(zero),
    }
    nodes = [
        make_node("QuantizeLinear", ["x", "scale", "x_zero"], ["x_codes"]),
        make_node("DequantizeLinear", ["x_codes", "scale", "x_zero"], ["a"]),
        make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"], axis=0),
        make_node("Conv", ["a", "w"], ["c"], pads=[1] * 4),
        make_node("Relu", ["c"], ["r"]),
        make_node("QuantizeLinear", ["r", "y_scale", "y_zero"], ["y_codes"]),
        make_node("DequantizeLinear", ["y_codes", "y_scale", "y_zero"], ["y"]),
        *([make_node("Sqrt", ["r"], ["z"])] if read_twice else []),
    ]
    value = onnx.TensorProto.FLOAT
    graph = make_graph(
        nodes,
        "net",
        [make_tensor_value_info("x", value, [1, 4, "h", "w"])],
        [
            make_tensor_value_info(name, value, [1, 6, "h", "w"])
            for name in ("y", *(["z"] if read_twice else []))
        ],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10)


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["y"], {"x": x})[0]


@pytest.mark.parametrize("zero", [1, 97, 255])
def test_the_same_codes(zero):
    x = np.random.default_rng(1).random((1, 4, 9, 7), dtype=np.float32) * 5
    expected = run(model(zero), x)
    made = model(zero)
    assert relu_codes(made) == 1
    onnx.checker.check_model(made, full_check=True)
    assert "Relu" not in {n.op_type for n in made.graph.node}
    found = run(made, x)
    np.testing.assert_array_equal(found, expected)
    assert found.min() == 0
    assert zero == 255 or found.max() > 0


def test_the_engine_computes_on_integers(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(model(97), path)
    if onnxruntime_census(path).float_weighted == 0:
        pytest.fail("ONNX Runtime fuses such ReLUs by itself now; relu_codes can go")
    made = model(97)
    relu_codes(made)
    onnx.save(made, path)
    census = onnxruntime_census(path)
    assert census.integer == {"QLinearConv": 1, "QLinearLeakyRelu": 1}
    assert not census.floating


@pytest.mark.parametrize("made", [model(0), model(97, read_twice=True)])
def test_others_are_left_alone(made):
    before = made.SerializeToString()
    assert relu_codes(made) == 0
    assert made.SerializeToString() == before
