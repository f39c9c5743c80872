"""Rewriting of pooling with indices for Core ML, whose pooling returns no indices."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Graph, Node

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_INDICES = 1


def unpool_by_phases(graph: Graph) -> None:
    """Replace max pooling and the unpooling by its indices, in place.

    The pooling must have square windows that touch without overlap, and sides of fixed length. The
    window's places are then phases of the picture: strided slices of equal size. The value of an
    unpooled phase is that of the pooled picture where this phase is the first to have the maximum,
    and zero elsewhere. The phases are interleaved by a pixel shuffle.
    """
    for node in list(graph.nodes):
        if node.target == _ATEN.max_unpool2d.default:
            pooling = _pooling(node)
            if pooling is not None:
                _rewrite(graph, node, pooling)
    graph.eliminate_dead_code()


def _pooling(node: Node) -> Node | None:
    """Return the pooling whose indices an unpooling reads, if both can be rewritten."""
    indices = node.args[1]
    if not isinstance(indices, Node) or indices.target is not operator.getitem:
        return None
    pooling, part = indices.args
    if (
        not isinstance(pooling, Node)
        or part != _INDICES
        or pooling.target != _ATEN.max_pool2d_with_indices.default
    ):
        return None
    kernel, stride, padding, dilation, ceil = _geometry(pooling)
    plain = kernel == stride and len(set(kernel)) == 1 and not any(padding) and set(dilation) == {1}
    shapes = [tensor_of(pooling.args[0]), tensor_of(node)]
    fixed = all(v is not None and all(isinstance(s, int) for s in v.shape) for v in shapes)
    return pooling if plain and fixed and not ceil else None


def _geometry(pooling: Node) -> tuple[list[int], list[int], list[int], list[int], bool]:
    """Return the kernel, stride, padding, dilation and ceil mode of a pooling."""
    given: Any = (*pooling.args[1:], *((), [], 0, 1, False)[len(pooling.args) - 1 :])
    kernel, stride, padding, dilation = (_pair(value) for value in given[:4])
    return kernel, stride or kernel, padding, dilation, bool(given[4])


def _pair(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def _rewrite(graph: Graph, node: Node, pooling: Node) -> None:
    side = _geometry(pooling)[0][0]
    source, values, result = pooling.args[0], node.args[0], tensor_of(node)
    assert isinstance(source, Node)
    assert isinstance(values, Node)
    assert result is not None
    with graph.inserting_before(node):
        pooled = _call(graph, operator.getitem, pooling, 0)
        pooled.meta["val"] = pooling.meta["val"][0]
        height, width = (int(length) for length in pooled.meta["val"].shape[2:])
        found: Node | None = None
        phases = []
        for row in range(side):
            for column in range(side):
                rows = _call(graph, _ATEN.slice.Tensor, source, 2, row, side * height, side)
                phase = _call(graph, _ATEN.slice.Tensor, rows, 3, column, side * width, side)
                here = _call(graph, _ATEN.eq.Tensor, phase, pooled)
                first = here
                if found is not None:
                    fresh = _call(graph, _ATEN.logical_not.default, found)
                    first = _call(graph, _ATEN.logical_and.default, here, fresh)
                found = (
                    here if found is None else _call(graph, _ATEN.logical_or.default, found, here)
                )
                kept = _call(graph, _ATEN._to_copy.default, first)
                kept.kwargs = {"dtype": result.dtype}
                kept.meta["val"] = first.meta["val"].to(result.dtype)
                phases.append(_call(graph, _ATEN.mul.Tensor, values, kept))
        stacked = _call(graph, _ATEN.stack.default, phases, 2)
        shape = [int(pooled.meta["val"].shape[0]), -1, height, width]
        flat = _call(graph, _ATEN.view.default, stacked, shape)
        shuffled = _call(graph, _ATEN.pixel_shuffle.default, flat, side)
        more = [int(result.shape[axis]) - side * n for axis, n in ((2, height), (3, width))]
        if any(more):
            padding = [0, more[1], 0, more[0]]
            shuffled = _call(graph, _ATEN.constant_pad_nd.default, shuffled, padding)
    shuffled.meta = {**node.meta, **shuffled.meta}
    node.replace_all_uses_with(shuffled)
    graph.erase_node(node)


def _call(graph: Graph, target: Any, *args: Any) -> Node:
    """Add an operator with its traced value."""
    node = graph.call_function(target, args)
    values = torch.fx.node.map_arg(args, lambda source: source.meta.get("val"))
    node.meta["val"] = target(*values)
    return node
