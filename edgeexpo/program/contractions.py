"""Rewriting of tensor contractions as matrix products, for which every engine has kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from edgeexpo.program.replacement import call, replace_each

_ATEN = torch.ops.aten


def matrix_contractions(module: GraphModule) -> bool:
    """Replace ``tensordot`` with a matrix by ``linear`` or ``bmm``, in place.

    The contraction must run over the last axis of the first operand and either axis of the matrix.
    Other contractions are unchanged. The rewrite is needed because Core ML's converter has no
    ``tensordot``. XNNPACK takes a product with a constant matrix only as ``linear``. It takes a
    product with a computed matrix, such as a colour matrix that the network predicts, only as
    ``bmm``.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target == _ATEN.tensordot.default and _fits(n)]
    return replace_each(module, found, lambda node: _product(module.graph, node))


def _product(graph: Graph, node: Node) -> Node:
    x, matrix, _, (axis,) = _arguments(node)
    outputs_first = matrix if axis % 2 else call(graph, _ATEN.t.default, matrix)
    if matrix.op == "get_attr":
        return call(graph, _ATEN.linear.default, x, outputs_first)
    return _bmm(graph, x, outputs_first, int(_value(matrix).shape[1 - axis % 2]))


def _fits(node: Node) -> bool:
    x, matrix, x_axes, _ = _arguments(node)
    rank = _value(x).dim()
    return _value(matrix).dim() == 2 and [axis % rank for axis in x_axes] == [rank - 1]


def _arguments(node: Node) -> Any:
    return node.args


def _value(node: Node) -> torch.Tensor:
    value = node.meta["val"]
    assert isinstance(value, torch.Tensor)
    return value


def _bmm(graph: Graph, x: Node, matrix: Node, outputs: int) -> Node:
    """Add nodes that multiply ``x`` by ``matrix`` (outputs x inputs), and return the last node.

    ``x`` is reshaped to one matrix with a row for every pixel.
    """
    leading = range(_value(x).dim() - 1)
    lengths = [call(graph, _ATEN.sym_size.int, x, axis) for axis in leading]
    channels = int(_value(x).shape[-1])
    rows = call(graph, _ATEN.reshape.default, x, [1, -1, channels])
    columns = call(graph, _ATEN.unsqueeze.default, call(graph, _ATEN.t.default, matrix), 0)
    product = call(graph, _ATEN.bmm.default, rows, columns)
    return call(graph, _ATEN.reshape.default, product, [*lengths, outputs])
