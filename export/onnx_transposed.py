"""Rewriting of quantised transposed convolutions as convolutions, for ONNX Runtime.

ONNX Runtime has no integer kernel for transposed convolutions. A transposed convolution of stride 2
equals four small convolutions (:mod:`edgeexpo.export.phases`). Each of the four becomes a
QLinearConv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from onnx.helper import get_attribute_value, make_node

from edgeexpo.export.phases import STRIDE, Taps, doubles, taps


@dataclass(frozen=True)
class _Site:
    """A quantised transposed convolution: node, weight dequantiser, ReLU if any, and quantiser."""

    node: NodeProto
    weight: NodeProto
    relu: NodeProto | None
    quantize: NodeProto


def split_transposed_onnx(model: onnx.ModelProto) -> int:
    """Replace every quantised transposed convolution that doubles its input's size, in place.

    A transposed convolution is replaced if three conditions hold.
    :func:`edgeexpo.export.phases.doubles` accepts it. Its weight is a dequantised initialiser with
    no other reader. Its result is quantised at once, with at most a ReLU in between.

    Returns:
        Number of transposed convolutions replaced.
    """
    graph = model.graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    sites = {site.node.output[0]: site for site in _sites(graph, values)}
    gone = [n for s in sites.values() for n in (s.relu, s.quantize, s.weight) if n is not None]
    dropped = {id(node) for node in gone}
    nodes: list[NodeProto] = []
    for node in graph.node:
        site = sites.get(node.output[0])
        if site is not None:
            nodes.extend(_phases(graph, site, values))
        elif id(node) not in dropped:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return len(sites)


def float_transposed(path: Path) -> dict[str, int]:
    """Count the transposed convolutions that an INT8 ``.onnx`` file keeps, by the operator's name.

    ONNX Runtime has no integer kernel for them. On dequantised INT8 numbers the result is the same.
    """
    count = sum(node.op_type == "ConvTranspose" for node in onnx.load(path).graph.node)
    return {"conv_transpose2d": count} if count else {}


def _sites(graph: onnx.GraphProto, values: dict[str, np.ndarray]) -> Iterator[_Site]:
    producers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        if node.op_type != "ConvTranspose":
            continue
        weight = producers.get(node.input[1])
        if weight is None or weight.op_type != "DequantizeLinear" or weight.input[0] not in values:
            continue
        if len(readers[weight.output[0]]) > 1:
            continue
        after, relu = readers.get(node.output[0], []), None
        if len(after) == 1 and after[0].op_type == "Relu":
            relu = after[0]
            after = readers.get(relu.output[0], [])
        doubles = _doubles(node, values[weight.input[0]].shape[2:])
        if doubles and len(after) == 1 and after[0].op_type == "QuantizeLinear":
            yield _Site(node, weight, relu, after[0])


def _doubles(node: NodeProto, kernel: tuple[int, ...]) -> bool:
    given = {a.name: get_attribute_value(a) for a in node.attribute}
    return doubles(
        kernel,
        stride=given.get("strides", [1, 1]),
        padding=given.get("pads", [0] * 4),
        output_padding=given.get("output_padding", [0, 0]),
        dilation=given.get("dilations", [1, 1]),
        groups=given.get("group", 1),
    )


def _phases(
    graph: onnx.GraphProto, site: _Site, values: dict[str, np.ndarray]
) -> Iterator[NodeProto]:
    stem = site.node.output[0]
    codes = values[site.weight.input[0]]
    written = []
    for row in range(STRIDE):
        for column in range(STRIDE):
            rows, columns = taps(row, codes.shape[2]), taps(column, codes.shape[3])
            part = codes[:, :, [k for k, _ in rows]][..., [k for k, _ in columns]]
            name = f"{stem}_phase{row}{column}"
            stored = np.ascontiguousarray(part.transpose(1, 0, 2, 3))
            graph.initializer.append(numpy_helper.from_array(stored, f"{name}_weight"))
            yield make_node(
                "DequantizeLinear",
                [f"{name}_weight", *site.weight.input[1:]],
                [f"{name}_weight_float"],
                axis=0,
            )
            inputs = [site.node.input[0], f"{name}_weight_float", *site.node.input[2:]]
            yield make_node("Conv", inputs, [name], pads=_pads(rows, columns))
            result = name
            if site.relu is not None:
                result = f"{name}_relu"
                yield make_node("Relu", [name], [result])
            yield from _through_codes(site, result, name)
            written.append(f"{name}_rounded")
    scale = site.quantize.input[1:]
    together, spread = f"{stem}_phases", f"{stem}_spread"
    yield make_node("Concat", written, [together], axis=1)
    yield from _through_codes(site, together, together)
    yield make_node("DepthToSpace", [f"{together}_rounded"], [spread], blocksize=STRIDE, mode="DCR")
    yield make_node("QuantizeLinear", [spread, *scale], [site.quantize.output[0]])


def _through_codes(site: _Site, name: str, stem: str) -> Iterator[NodeProto]:
    """Round a tensor to the result's codes. Engines take no operator between the two nodes."""
    scale = site.quantize.input[1:]
    yield make_node("QuantizeLinear", [name, *scale], [f"{stem}_codes"])
    yield make_node("DequantizeLinear", [f"{stem}_codes", *scale], [f"{stem}_rounded"])


def _pads(rows: Taps, columns: Taps) -> list[int]:
    before = [max(0, -axis[0][1]) for axis in (rows, columns)]
    after = [max(0, axis[-1][1]) for axis in (rows, columns)]
    return [*before, *after]
