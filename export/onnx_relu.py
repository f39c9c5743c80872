"""Rewriting of ReLUs as clips of codes, where ONNX Runtime would compute a convolution in float.

ONNX Runtime drops a ReLU before a quantiser whose zero point is the lowest code, because
quantisation clips there anyway. It cannot drop the ReLU if the quantiser also has codes for
negative numbers, as for a concatenation. It then fuses the ReLU into the convolution, and
onnxruntime 1.31 has no integer kernel for the two together.

Quantising first and clipping the codes at the zero point gives the same codes. This holds because
rounding keeps the order of numbers and zero has an exact code.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from onnx.helper import make_node


def clip_codes(model: onnx.ModelProto) -> int:
    """Move ReLUs behind the quantisers that cannot absorb them, in place.

    Args:
        model: The model, with UINT8 codes (:func:`edgeexpo.export.onnx_qdq.unsign`).

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
            clipped, codes = node.output[0], f"{relu.output[0]}_codes"
            node.input[0], node.output[0] = relu.input[0], codes
            nodes.append(make_node("Clip", [codes, node.input[2]], [clipped]))
    del graph.node[:]
    graph.node.extend(nodes)
    return len(moved)


def _keeps_negatives(node: NodeProto, values: dict[str, np.ndarray]) -> bool:
    if node.op_type != "QuantizeLinear" or len(node.input) != 3:
        return False
    zero = values.get(node.input[2])
    return zero is not None and zero.ndim == 0 and int(zero) > np.iinfo(zero.dtype).min
