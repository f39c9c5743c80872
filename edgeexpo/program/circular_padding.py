"""Rewriting of circular padding as a concatenation of the picture's ends."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from edgeexpo.program.replacement import replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_END = 2**63 - 1


def plain_circular_padding(module: GraphModule) -> bool:
    """Replace circular padding by slices and concatenations, in place.

    torch writes it as assignments into an empty tensor, which neither Core ML nor ExecuTorch takes
    at a varying size.

    Returns:
        True when ``module`` was changed.
    """
    found = [
        n
        for n in module.graph.nodes
        if n.target == _ATEN.pad.default and n.args[2:3] == ("circular",)
    ]
    return replace_each(module, found, lambda node: _wrapped(module.graph, node))


def _wrapped(graph: Graph, node: Node) -> Node:
    source, widths = node.args[0], node.args[1]
    value = tensor_of(source)
    assert value is not None
    assert isinstance(source, Node)
    assert isinstance(widths, list | tuple)
    result: Node = source
    for place in range(0, len(widths), 2):
        axis = value.dim() - 1 - place // 2
        before, after = widths[place : place + 2]
        parts = [result]
        if before != 0:
            parts.insert(0, _slice(graph, result, axis, -before, _END))  # type: ignore[operator]
        if after != 0:
            parts.append(_slice(graph, result, axis, 0, after))
        if len(parts) > 1:
            result = graph.call_function(_ATEN.cat.default, (parts, axis))
    return result


def _slice(graph: Graph, *args: Any) -> Node:
    return graph.call_function(_ATEN.slice.Tensor, args)
