"""Rounding of what a quantised ONNX file leaves in float to 16 bits, for the NPU of Qualcomm.

The HTP computes float operators in fp16, and loses more there than in the whole of INT8: 45 dB for
``kdfusion``, whose gate and last convolution are in float. With 16-bit codes in their place it
loses 80 dB. So every float value between operators gets codes of 16 bits, and the weights of float
operators get 16 bits too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from onnx.helper import make_node

from edgeexpo.runtime.engines.onnx import run_once

WIDTH = 2.0
"""Factor of a 16-bit range over the values that the pictures show, as in A16W8."""

LARGEST_CODE = 2**16 - 1
"""Largest code of an activation; the smallest is 0."""

LARGEST_WEIGHT = 2**15 - 1
"""Largest code of a weight; the smallest is its negative."""

_CODES = ("QuantizeLinear", "DequantizeLinear")
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Where")
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

Span = tuple[float, float]
"""Smallest and largest value of a tensor, zero among them."""


def sixteen_bits(
    model: onnx.ModelProto,
    pictures: Iterable[Mapping[str, np.ndarray]],
    inputs: Mapping[str, Span],
    left: Collection[str] = (),
) -> list[str]:
    """Give the float operators of a quantised model 16-bit codes, in place.

    Args:
        model: A quantised model of fixed shapes (opset 21).
        pictures: Inputs that show the ranges, 1xCxHxW float32 by name. Without any, nothing is
            changed.
        inputs: Range of every input of the model.
        left: Names of nodes that stay in float.

    Returns:
        Names of the nodes that were changed.

    Raises:
        EngineError: ONNX Runtime cannot run the model.
    """
    graph, pictures = model.graph, list(pictures)
    if not pictures:
        return []
    spans = {**_observed(model, pictures), **dict(_bounded(graph)), **inputs}
    rewriting = _Rewriting(graph, spans)
    changed = [n for n in _float_nodes(graph, spans) if n.name not in left]
    rewriting.apply({node.name for node in changed})
    return [node.name for node in changed]


def _observed(
    model: onnx.ModelProto, pictures: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, Span]:
    """Return the spans of all float values, widened."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    names = [o for n in model.graph.node if n.op_type not in _CODES for o in n.output if o]
    names += [
        n.output[0]
        for n in model.graph.node
        if n.op_type == "DequantizeLinear" and not _is_constant(model.graph, n)
    ]
    del probe.graph.output[:]
    for name in dict.fromkeys([*names, *present]):
        probe.graph.output.append(onnx.ValueInfoProto(name=name))  # ONNX Runtime infers its type
    written = probe.SerializeToString()
    spans: dict[str, Span] = {}
    for picture in pictures:
        for name, value in run_once(written, picture).items():
            if value.dtype == np.float32:
                low, high = spans.get(name, (0.0, 0.0))
                spans[name] = min(low, float(value.min())), max(high, float(value.max()))
    return {name: (WIDTH * low, WIDTH * high) for name, (low, high) in spans.items()}


def _bounded(graph: onnx.GraphProto) -> Iterator[tuple[str, Span]]:
    """Yield the results whose bounds are known, with the span between these bounds.

    The codes of a wider span would go beyond them: the HTP (2.51) drops a Clip between 16-bit
    codes.
    """
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "Sigmoid":
            yield node.output[0], (0.0, 1.0)
        elif node.op_type == "Tanh":
            yield node.output[0], (-1.0, 1.0)
        elif node.op_type == "Clip" and len(node.input) == 3 and values.keys() >= {*node.input[1:]}:
            low, high = (float(values[name]) for name in node.input[1:])
            yield node.output[0], (min(0.0, low), max(0.0, high))


def _is_constant(graph: onnx.GraphProto, node: NodeProto) -> bool:
    return any(i.name == node.input[0] for i in graph.initializer)


def _float_nodes(graph: onnx.GraphProto, spans: Mapping[str, Span]) -> Iterator[NodeProto]:
    """Yield the nodes that compute in float, from float32 to float32."""
    constants = {i.name for i in graph.initializer}
    made = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    integer: set[str] = set()
    for node in graph.node:
        if node.op_type in _CODES or node.output[0] not in spans:
            continue
        read = [name for name in node.input if name and name not in constants]
        whole = all(
            name in made and (made[name].op_type == _CODES[1] or made[name].name in integer)
            for name in read
        )
        beside = node.op_type in (*_ARITHMETIC, *_WEIGHTED) and any(
            name in constants for name in node.input[:2]
        )
        after = [n.op_type for n in readers.get(node.output[0], [])]
        rounded = (
            bool(after) and node.output[0] not in outputs and set(after) <= {_CODES[0], "Relu"}
        )
        if whole and rounded and not beside:
            integer.add(node.name)
        elif read and all(name in spans for name in read):
            yield node


class _Rewriting:
    """The insertion of 16-bit codes into a graph."""

    def __init__(self, graph: onnx.GraphProto, spans: Mapping[str, Span]) -> None:
        self.graph, self.spans = graph, spans
        self.values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.nodes: list[NodeProto] = []
        self.rounded: dict[str, str] = {}

    def apply(self, chosen: Collection[str]) -> None:
        """Rewrite the nodes of these names."""
        readers: dict[str, list[str]] = {}
        for node in self.graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node.op_type)
        outputs = {value.name for value in self.graph.output}
        for node in self.graph.node:
            if node.name not in chosen:
                node.input[:] = [self.rounded.get(name, name) for name in node.input]
                self.nodes.append(node)
                continue
            for position, name in enumerate(node.input):
                if name in self.values:
                    self._constant(node, position)
                elif name:
                    node.input[position] = self._rounded(name)
            self.nodes.append(node)
            result = node.output[0]
            if result in outputs:
                node.output[0] = f"{result}_unrounded"
                self._codes(node.output[0], result, self.spans[result])
            elif set(readers.get(result, [])) != {"Relu"}:
                self._rounded(result)
            else:
                self.rounded[result] = result
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)

    def _rounded(self, name: str) -> str:
        """Return the name of a value in 16-bit codes, after adding them where they are lacking."""
        if name not in self.rounded:
            self.rounded[name] = f"{name}_sixteen"
            self._codes(name, self.rounded[name], self.spans[name])
        return self.rounded[name]

    def _codes(self, name: str, result: str, span: Span) -> None:
        scale = np.float32(max((span[1] - span[0]) / LARGEST_CODE, 2.0**-30))
        zero = np.uint16(np.rint(-span[0] / scale))
        parts = [self._kept(f"{result}_scale", scale), self._kept(f"{result}_zero", zero)]
        self.nodes += [
            make_node(_CODES[0], [name, *parts], [f"{result}_codes"]),
            make_node(_CODES[1], [f"{result}_codes", *parts], [result]),
        ]

    def _constant(self, node: NodeProto, position: int) -> None:
        """Give an operand of arithmetic, or a weight, 16-bit codes. Biases and the like stay."""
        value = self.values[node.input[position]]
        weight = node.op_type in _WEIGHTED and position == 1
        if value.dtype != np.float32 or not (weight or node.op_type in _ARITHMETIC):
            return
        stem = f"{node.output[0]}_operand{position}"
        if weight:
            scale = np.float32(max(np.abs(value).max() / LARGEST_WEIGHT, 2.0**-30))
            zero: np.integer = np.int16(0)
            codes = np.rint(value / scale).astype(np.int16)
        else:
            low, high = min(0.0, float(value.min())), max(0.0, float(value.max()))
            scale = np.float32(max((high - low) / LARGEST_CODE, 2.0**-30))
            zero = np.uint16(np.rint(-low / scale))
            rounded = np.rint(value / scale) + float(zero)
            codes = np.clip(rounded, 0, LARGEST_CODE).astype(np.uint16)
        parts = [
            self._kept(f"{stem}_{part}", array)
            for part, array in (("codes", codes), ("scale", scale), ("zero", zero))
        ]
        self.nodes.append(make_node(_CODES[1], parts, [stem]))
        node.input[position] = stem

    def _kept(self, name: str, value: np.ndarray | np.generic) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name
