"""Tests that ONNX Runtime computes transposed convolutions on integers, with unchanged results."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from torch.nn import functional as F

from edgeexpo.export.onnx_qdq import fusible
from edgeexpo.export.onnx_transposed import split_transposed_onnx


def model(weight, bias, relu, *, stride=2):
    """Return an exporter's model: codes -> ConvTranspose (-> Relu) -> codes -> float."""
    inputs, outputs, kernel, _ = weight.shape
    constants = {
        "scale": np.float32(0.02),
        "zero": np.int8(-128),
        "weight": weight,
        "weight_scale": np.linspace(0.004, 0.01, outputs, dtype=np.float32),
        "weight_zero": np.zeros(outputs, np.int8),
        "bias": bias,
        "out_scale": np.float32(0.05),
        "out_zero": np.int8(-128 if relu else 3),
    }
    attributes = {
        "strides": [stride] * 2,
        "pads": [1] * 4,
        "output_padding": [kernel % 2] * 2,
    }
    last = "relu" if relu else "y"
    nodes = [
        make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        make_node("DequantizeLinear", ["codes", "scale", "zero"], ["a"]),
        make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"], axis=1),
        make_node("ConvTranspose", ["a", "w", "bias"], ["y"], **attributes),
        *([make_node("Relu", ["y"], ["relu"])] if relu else []),
        make_node("QuantizeLinear", [last, "out_scale", "out_zero"], ["b"]),
        make_node("DequantizeLinear", ["b", "out_scale", "out_zero"], ["out"]),
    ]
    graph = make_graph(
        nodes,
        "net",
        [make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, inputs, "h", "w"])],
        [make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, outputs, "a", "b"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10)


def run(made, x):
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def weights(inputs, outputs, kernel, seed):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (inputs, outputs, kernel, kernel), dtype=np.int8)
    return weight, rng.normal(0, 0.3, outputs).astype(np.float32)


@pytest.mark.parametrize("relu", [False, True])
def test_no_operator_stands_between_a_quantiser_and_its_dequantiser(relu):
    made = model(*weights(3, 2, 4, 0), relu)
    split_transposed_onnx(made)
    codes = {n.output[0] for n in made.graph.node if n.op_type == "QuantizeLinear"}
    readers = {n.op_type for n in made.graph.node if codes & set(n.input)}
    assert readers == {"DequantizeLinear"}


@settings(max_examples=25, deadline=None)
@given(
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    kernel=st.sampled_from([3, 4]),
    relu=st.booleans(),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_phases_interleave_to_the_transposed_convolution(
    inputs, outputs, kernel, relu, height, width, seed
):
    weight, bias = weights(inputs, outputs, kernel, seed)
    x = np.random.default_rng(seed).random((1, inputs, height, width), dtype=np.float32) * 5
    made = model(weight, bias, relu)
    assert split_transposed_onnx(made) == 1
    onnx.checker.check_model(made, full_check=True)
    found = run(made, x)
    real = torch.from_numpy(weight.astype(np.float32)) * torch.linspace(0.004, 0.01, outputs).view(
        1, -1, 1, 1
    )
    codes = torch.from_numpy(np.clip(np.rint(x / np.float32(0.02)) - 128, -128, 127) + 128) * 0.02
    y = F.conv_transpose2d(
        codes.float(), real, torch.from_numpy(bias), 2, 1, output_padding=kernel % 2
    )
    y = torch.relu(y) if relu else y
    zero = -128 if relu else 3
    wanted = ((y / 0.05).round() + zero).clamp(-128, 127).sub(zero).mul(0.05).numpy()
    assert found.shape == wanted.shape == (1, outputs, 2 * height, 2 * width)
    assert np.abs(found - wanted).max() < 0.051  # one step, for sums halfway between two codes
    assert np.mean(np.abs(found - wanted) > 1e-5) < 0.02 or found.size < 200


def test_the_engine_computes_on_integers(tmp_path):
    weight, bias = weights(8, 4, 4, 0)
    made = model(weight, bias, relu=True)
    split_transposed_onnx(made)
    fusible(made)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kinds = [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 4
    assert not {"Conv", "ConvTranspose"} & set(kinds)


@pytest.mark.parametrize("change", ["stride", "weights"])
def test_others_are_left_alone(change):
    weight, bias = weights(2, 3, 3, 0)
    made = model(weight, bias, relu=False, stride=1 if change == "stride" else 2)
    if change == "weights":
        made.graph.node[3].input[1] = "other"
    before = made.SerializeToString()
    assert split_transposed_onnx(made) == 0
    assert made.SerializeToString() == before


def test_nothing_is_left_of_the_old_weights():
    made = model(*weights(2, 3, 4, 0), relu=True)
    split_transposed_onnx(made)
    read = {name for node in made.graph.node for name in node.input} | {"out"}
    assert {name for node in made.graph.node for name in node.output} <= read
