"""Rewriting of adaptive average pooling to a fixed grid at a varying size, as matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.constants import register
from edgeexpo.program.replacement import call, replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_AXES = (2, 3)


def plain_adaptive_pooling(module: GraphModule) -> bool:
    """Replace averages over a grid, such as 6x6, of pictures of varying size, in place.

    torch's own decomposition branches on the remainder of the size by the grid, and takes the
    branch of the size that was traced without a word. Here, a matrix that is made of the size says
    which pixels belong to which cell, so that one program is right at every size.

    A grid of one cell and a grid that depends on the size stay.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if _is_uneven(n)]
    return replace_each(module, found, lambda node: _pooled(module, node))


def _is_uneven(node: Node) -> bool:
    if node.target != _ATEN.adaptive_avg_pool2d.default:
        return False
    x, cells = tensor_of(node.args[0]), _cells(node)
    if x is None or x.dim() != 4:
        return False
    varying = [isinstance(x.shape[axis], torch.SymInt) for axis in _AXES]
    return all(isinstance(number, int) for number in cells) and any(
        varies and number > 1 for varies, number in zip(varying, cells, strict=True)
    )


def _cells(node: Node) -> list[Any]:
    cells: Any = node.args[1]
    return [cells, cells] if isinstance(cells, int) else list(cells)


def _pooled(module: GraphModule, node: Node) -> Node:
    graph, (rows, columns) = module.graph, _cells(node)
    source = node.args[0]
    assert isinstance(source, Node)
    value = tensor_of(source)
    assert value is not None
    matrices = [
        _matrix(module, source, axis, number, value.dtype)
        for axis, number in zip(_AXES, (rows, columns), strict=True)
    ]
    across = call(graph, _ATEN.matmul.default, source, matrices[1])
    turned = call(graph, _ATEN.transpose.int, across, 2, 3)
    down = call(graph, _ATEN.matmul.default, turned, matrices[0])
    return call(graph, _ATEN.transpose.int, down, 2, 3)


def _matrix(module: GraphModule, source: Node, axis: int, cells: int, dtype: torch.dtype) -> Node:
    """Return a matrix of pixels by cells whose columns average the pixels of a cell.

    Cell ``i`` of ``n`` goes from ``floor(i * side / n)`` to ``ceil((i + 1) * side / n)``. Both
    conditions, multiplied by ``n``, compare integers.
    """
    graph = module.graph
    name = f"{source.name}_cells_{axis}_{cells}"
    if not hasattr(module, name):
        register(module, name, torch.arange(cells))
    side = call(graph, _ATEN.sym_size.int, source, axis)
    pixel = call(graph, _ATEN.mul.Tensor, call(graph, _ATEN.arange.default, side), cells)
    pixel = call(graph, _ATEN.unsqueeze.default, pixel, 1)
    begin = call(graph, _ATEN.mul.Tensor, graph.get_attr(name), side)
    behind = call(graph, _ATEN.gt.Tensor, call(graph, _ATEN.add.Tensor, pixel, cells), begin)
    before = call(graph, _ATEN.lt.Tensor, pixel, call(graph, _ATEN.add.Tensor, begin, side))
    inside = call(graph, _ATEN.logical_and.default, behind, before)
    inside = call(graph, _ATEN.to.dtype, inside, dtype)
    total = call(graph, _ATEN.sum.dim_IntList, inside, [0], True)
    return call(graph, _ATEN.div.Tensor, inside, total)
