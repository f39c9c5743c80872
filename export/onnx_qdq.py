"""Rewriting of QDQ pairs to the form that ONNX Runtime fuses into integer convolutions.

A QDQ pair is a ``QuantizeLinear`` followed by a ``DequantizeLinear``.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

SIGNED_TO_UNSIGNED = 128
"""Offset from signed to unsigned codes. Added to codes and zero point, it keeps the numbers."""


def fusible(model: onnx.ModelProto) -> None:
    """Store activations as UINT8, and one DequantizeLinear for each of their readers, in place.

    The numbers stay the same, because 128 is added to every code and to its zero point.

    Activations: on x86, ONNX Runtime rewrites INT8 activations with a single reader to UINT8. It
    leaves the others signed. It then cannot fuse a convolution whose input and result differ in
    sign. If all are unsigned, every quantised convolution becomes a QLinearConv.

    Weights: they stay INT8, for which ONNX Runtime has its fast kernels on x86 with VNNI or AMX and
    on ARM. Its UINT8 x INT8 kernels for x86 with AVX2 alone saturate their 16-bit sums, which lost
    12 dB on an ``lrl``. The session option ``session.x64quantprecision`` makes ONNX Runtime turn
    the weights to UINT8 there, which is exact. The runtime sets it. ONNX Runtime refuses that
    option where two dequantisers of weights share a zero point, so that each has its own.

    Biases: they become INT32 at scale ``input scale * weight scale``, as the integer kernels add
    them.

    Float weights: an operator with float weights between quantised tensors reads its input through
    a ``Max`` of one operand, which changes nothing. Without it, ONNX Runtime (since its pull
    request 22969) quantises those weights by itself. The operator was left in float to keep the
    picture's quality.
    """
    graph = model.graph
    _fold_constants(graph)
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    _unsigned_activations(graph, values)
    _one_dequantize_per_consumer(graph)
    _own_zero_points(graph, values)
    _integer_biases(graph, values)
    _guard_float_weights(graph, values)
    _drop_unused(graph)
    del graph.value_info[:]


def _fold_constants(graph: onnx.GraphProto) -> None:
    """Replace Constant nodes and Casts of initialisers by initialisers."""
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    kept = []
    for node in graph.node:
        folded = None
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            folded = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Cast" and node.input[0] in values:
            kind = onnx.helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
            folded = values[node.input[0]].astype(kind)
        if folded is None:
            kept.append(node)
            continue
        values[node.output[0]] = folded
        graph.initializer.append(numpy_helper.from_array(folded, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


def _unsigned_activations(graph: onnx.GraphProto, values: dict[str, np.ndarray]) -> None:
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = node.input[2]
        if node.input[0] not in values and values[zero].dtype == np.int8:
            node.input[2] = _shifted(graph, values, zero)
        for attribute in [a for a in node.attribute if a.name == "output_dtype"]:
            node.attribute.remove(attribute)


def _own_zero_points(graph: onnx.GraphProto, values: dict[str, np.ndarray]) -> None:
    for index, node in enumerate(graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            zero, own = node.input[2], f"{node.input[2]}_{index}"
            values[own] = values[zero]
            graph.initializer.append(numpy_helper.from_array(values[own], own))
            node.input[2] = own


def _shifted(graph: onnx.GraphProto, values: dict[str, np.ndarray], name: str) -> str:
    unsigned = f"{name}_unsigned"
    if unsigned not in values:
        values[unsigned] = (values[name].astype(np.int16) + SIGNED_TO_UNSIGNED).astype(np.uint8)
        graph.initializer.append(numpy_helper.from_array(values[unsigned], unsigned))
    return unsigned


def _one_dequantize_per_consumer(graph: onnx.GraphProto) -> None:
    dequantizes = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    taken: set[str] = set()
    nodes: list[NodeProto] = []
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name not in dequantizes:
                continue
            if name in taken:
                copy = NodeProto()
                copy.CopyFrom(dequantizes[name])
                copy.output[0] = f"{name}_copy{len(nodes)}_{position}"
                node.input[position] = copy.output[0]
                nodes.append(copy)
            taken.add(name)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _integer_biases(graph: onnx.GraphProto, values: dict[str, np.ndarray]) -> None:
    producers = {o: n for n in graph.node for o in n.output}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3:
            sources = [producers.get(name) for name in node.input[:2]]
            if node.input[2] in values and all(
                s is not None and s.op_type == "DequantizeLinear" for s in sources
            ):
                input_scale, weight_scale = (values[s.input[1]] for s in sources if s is not None)
                nodes.append(_integer_bias(graph, values, node, input_scale, weight_scale))
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _integer_bias(
    graph: onnx.GraphProto,
    values: dict[str, np.ndarray],
    node: NodeProto,
    input_scale: np.ndarray,
    weight_scale: np.ndarray,
) -> NodeProto:
    bias = values[node.input[2]]
    scale = np.broadcast_to(
        (input_scale.astype(np.float32).reshape(-1) * weight_scale.reshape(-1)), bias.shape
    ).astype(np.float32)
    limits = np.iinfo(np.int32)
    steps = np.clip(np.rint(bias / scale), limits.min, limits.max).astype(np.int32)
    stem = f"{node.output[0]}_bias"
    parts = {"steps": steps, "scale": scale, "zero": np.zeros_like(steps)}
    for suffix, value in parts.items():
        values[f"{stem}_{suffix}"] = value
        graph.initializer.append(numpy_helper.from_array(value, f"{stem}_{suffix}"))
    node.input[2] = f"{stem}_float"
    inputs = [f"{stem}_{suffix}" for suffix in parts]
    return onnx.helper.make_node("DequantizeLinear", inputs, [f"{stem}_float"], axis=0)


def _guard_float_weights(graph: onnx.GraphProto, values: dict[str, np.ndarray]) -> None:
    dequantized = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    nodes: list[NodeProto] = []
    for node in graph.node:
        between = (
            node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
            and node.input[0] in dequantized
            and _is_quantized(graph, node)
        )
        if between and node.input[1] in values:
            guarded = f"{node.output[0]}_read"
            nodes.append(onnx.helper.make_node("Max", [node.input[0]], [guarded]))
            node.input[0] = guarded
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _is_quantized(graph: onnx.GraphProto, node: NodeProto) -> bool:
    """Return true if a quantiser reads the result, at once or after one more operator."""
    after = _readers(graph, node)
    after += [reader for follower in after for reader in _readers(graph, follower)]
    return any(reader.op_type == "QuantizeLinear" for reader in after)


def _readers(graph: onnx.GraphProto, node: NodeProto) -> list[NodeProto]:
    return [reader for reader in graph.node if node.output[0] in reader.input]


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [i for i in graph.initializer if i.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
