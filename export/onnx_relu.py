"""Rewriting of ReLUs behind the codes, where ONNX Runtime would compute a convolution in float.

ONNX Runtime drops a ReLU before a quantiser whose zero point is the lowest code, because
quantisation clips there anyway. It cannot drop the ReLU if the quantiser also has codes for
negative numbers, as for a concatenation. It then fuses the ReLU into the convolution, and
onnxruntime 1.31 has no integer kernel for the two together.

Quantising first and taking the ReLU of the rounded numbers gives the same codes. This holds because
rounding keeps the order of numbers and zero has an exact code. The ReLU is written as a LeakyRelu
without a slope, for which ONNX Runtime has a kernel on codes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from onnx.helper import make_node


def relu_codes(model: onnx.ModelProto) -> int:
    """Move ReLUs behind the quantisers that cannot absorb them, in place.

    Args:
        model: The model, with UINT8 codes (:func:`edgeexpo.export.onnx_qdq.fusible`).

    Returns:
        Number of ReLUs moved.
    """
    graph = model.graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    moved: dict[str, NodeProto] = {}
    for node in graph.node:
        after = readers.get(node.output[0], []) if node.op_type == "Relu" else []
        if len(after) == 1 and _keeps_negatives(after[0], values):
            moved[after[0].output[0]] = node
    dropped = {id(node) for node in moved.values()}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if id(node) in dropped:
            continue
        nodes.append(node)
        relu = moved.get(node.output[0])
        if relu is not None:
            codes, rounded, positive = (f"{relu.output[0]}_{s}" for s in ("codes", "q", "relu"))
            result, scale = node.output[0], node.input[1:]
            node.input[0], node.output[0] = relu.input[0], codes
            nodes += [
                make_node("DequantizeLinear", [codes, *scale], [rounded]),
                make_node("LeakyRelu", [rounded], [positive], alpha=0.0),
                make_node("QuantizeLinear", [positive, *scale], [result]),
            ]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(moved)


def _keeps_negatives(node: NodeProto, values: dict[str, np.ndarray]) -> bool:
    if node.op_type != "QuantizeLinear" or len(node.input) != 3:
        return False
    zero = values.get(node.input[2])
    return zero is not None and zero.ndim == 0 and int(zero) > np.iinfo(zero.dtype).min
