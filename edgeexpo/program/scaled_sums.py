"""Rewriting of sums and differences with a factor."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.replacement import call, replace_each

_ATEN = torch.ops.aten

_SUMS: dict[Any, Any] = {
    _ATEN.add.Tensor: _ATEN.add.Tensor,
    _ATEN.add.Scalar: _ATEN.add.Tensor,
    _ATEN.sub.Tensor: _ATEN.sub.Tensor,
    _ATEN.sub.Scalar: _ATEN.sub.Tensor,
    _ATEN.rsub.Tensor: _ATEN.rsub.Tensor,
    _ATEN.rsub.Scalar: _ATEN.rsub.Scalar,
}
"""Operator with ``alpha`` -> the operator that takes the product of ``alpha`` in its place."""

_REVERSED = frozenset((_ATEN.rsub.Tensor, _ATEN.rsub.Scalar))
"""Operators that subtract their first operand, with the factor, from their second."""


def plain_sums(module: GraphModule) -> bool:
    """Write ``add(x, y, alpha=a)`` as ``x + a * y``, and likewise for differences, in place.

    coremltools 9.0 and XNNPACK's quantiser do not look at the factor, and leave it out without a
    word.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target in _SUMS and _factor(n) != 1]
    return replace_each(module, found, lambda node: _summed(module, node))


def _factor(node: Node) -> Any:
    return (*node.args, node.kwargs.get("alpha", 1))[2]


def _summed(module: GraphModule, node: Node) -> Node:
    graph, factor = module.graph, _factor(node)
    first, second = node.args[:2]
    if node.target in _REVERSED:
        first = call(graph, _ATEN.mul.Tensor, first, factor)
    elif isinstance(second, Node):
        second = call(graph, _ATEN.mul.Tensor, second, factor)
    else:
        second *= factor
    return call(graph, _SUMS[node.target], first, second)
