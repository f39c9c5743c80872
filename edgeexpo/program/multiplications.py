"""Counting of the multiplications that the weighted operators of a program need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.fx import Graph, Node

from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.program.values import tensor_of


def multiplications(node: Node) -> int:
    """Return the number of multiplications of a weighted operator, at the traced size.

    The operator is one of ATen or of ExecuTorch's edge dialect. Others count 0.
    """
    result = tensor_of(node)
    if not is_weighted(node) or result is None:
        return 0
    operands = [value for value in map(tensor_of, node.args) if value is not None]
    x, weight = operands[:2] if len(operands) > 1 else operands * 2
    if "conv" not in str(node.target):
        first = operands[-2] if "addmm" in str(node.target) else x
        return _length(result.shape) * _length(first.shape[-1:])
    transposed = "transpose" in str(node.target) or (len(node.args) == 9 and bool(node.args[6]))
    places = x if transposed else result
    return _length(places.shape) * _length(weight.shape[1:])


def multiplication_share(nodes: Iterable[Node], graph: Graph) -> float:
    """Return the multiplications of some operators, as a share of those of a network.

    Args:
        nodes: Operators of the network's graph, or of a graph that was made of it.
        graph: The network's graph.
    """
    return sum(map(multiplications, nodes)) / max(1, sum(map(multiplications, graph.nodes)))


def _length(shape: Any) -> int:
    return math.prod(_known(side) for side in shape)


def _known(side: int | torch.SymInt) -> int:
    """Return a side at the size at which the program was traced."""
    return int(side if isinstance(side, int) else side.node.hint)
