"""ReLUs on codes, where ONNX Runtime would make the whole convolution a float one.

ONNX Runtime drops a ReLU before a quantiser whose zero point is the lowest code: rounding clips
there anyway. Where the result shares its codes with negative numbers, as in a concatenation, it
cannot, fuses the ReLU into the convolution instead, and has no integer kernel for the two
(onnxruntime 1.31). Rounding never changes the order of two numbers and zero has a code of its own,
so quantising first and clipping the codes at the zero point gives the same codes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from onnx.helper import make_node


def clip_codes(model: onnx.ModelProto) -> int:
    """Move ReLUs behind the quantisers that cannot absorb them, in place.

    Args:
        model: Its codes are UINT8 (:func:`edgeexpo.export.onnx_qdq.unsign`).

    Returns:
        How many were moved.
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
