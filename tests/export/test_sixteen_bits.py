"""Tests that no engine computes on 16-bit activations, so that edgeexpo offers none.

When a test fails, an engine computes on them. The first and last layers can then use 16 bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeexpo.runtime.engines.onnx import optimised


def rounded_convolution(kind: type[np.integer]) -> onnx.ModelProto:
    """Return a model with activations of type ``kind`` around a convolution with INT8 weights."""
    constants = {
        "scale": np.float32(1 / 255),
        "zero": kind(0),
        "weight": np.arange(-108, 108, dtype=np.int8).reshape(8, 3, 3, 3),
        "steps": np.full(8, 0.01, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["weight", "steps"], ["weights"], axis=0),
        helper.make_node("Conv", ["rounded", "weights"], ["sum"], pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["sum", "scale", "zero"], ["output"]),
        helper.make_node("DequantizeLinear", ["output", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "rounded",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 16, 16])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("kind", "convolution"), [(np.uint8, "QLinearConv"), (np.uint16, "Conv"), (np.int16, "Conv")]
)
def test_onnx_runtime_computes_on_eight_bits_only(tmp_path: Path, kind, convolution):
    file = tmp_path / "rounded.onnx"
    onnx.save(rounded_convolution(kind), file)
    kinds = {node.op_type for node in onnx.load_from_string(optimised(file)).graph.node}
    assert kinds & {"Conv", "QLinearConv"} == {convolution}


def test_xnnpack_has_no_sixteen_bit_integers():
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNDatatype

    assert not [kind.name for kind in XNNDatatype if "int16" in kind.name]


def test_core_ml_rounds_to_eight_bits_only():
    from coremltools.converters.mil.mil import types
    from coremltools.converters.mil.mil.ops.defs.iOS17.quantization_ops import quantize

    assert set(quantize.type_domains["DstT"]) == {types.int8, types.uint8}
