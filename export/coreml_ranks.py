"""Rewriting of tensors with more axes than Core ML takes."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

LARGEST_RANK = 5
"""Largest number of axes of a tensor in Core ML."""

_VIEWS = (_ATEN.view.default, _ATEN.reshape.default, _ATEN._unsafe_view.default)
_COPIES = frozenset(
    (
        "aten.clone.default",
        "aten.contiguous.default",
        "quantized_decomposed.quantize_per_tensor.default",
        "quantized_decomposed.dequantize_per_tensor.default",
    )
)
"""Names of operators that keep every number in its place."""

_ORDERS = (_ATEN.permute.default, _ATEN.transpose.int)


def drop_unit_axes(graph: Graph) -> None:
    """Take axes of length 1 out of tensors with more than five axes, in place.

    Window attention views a picture as ``(1, rows, 8, columns, 8, channels)``, swaps two axes, and
    views the result with fewer axes again. The batch's axis has length 1 at every step, so that the
    same numbers are moved without it.
    """
    for node in list(graph.nodes):
        if node.target in _VIEWS and _rank(node) > LARGEST_RANK and _ends_in_views(node):
            _drop(graph, node)


def _rank(node: Any) -> int:
    value = tensor_of(node)
    return 0 if value is None else value.dim()


def _ends_in_views(node: Node) -> bool:
    """Return true if only orders and copies read a tensor, and fewer axes stand at every end."""
    for user in node.users:
        if user.target in _VIEWS and _rank(user) <= LARGEST_RANK:
            continue
        if not (user.target in _ORDERS or _is_copy(user)) or not _ends_in_views(user):
            return False
    return bool(node.users)


def _is_copy(node: Node) -> bool:
    return str(node.target) in _COPIES


def _drop(graph: Graph, view: Node) -> None:
    shape = view.meta["val"].shape
    units = [axis for axis, side in enumerate(shape) if isinstance(side, int) and side == 1]
    gone = set(units[: len(shape) - LARGEST_RANK])
    if len(shape) - len(gone) > LARGEST_RANK:
        return
    kept = [axis for axis in range(len(shape)) if axis not in gone]
    size: Any = view.args[1]
    view.update_arg(1, [size[axis] for axis in kept])
    view.meta["val"] = view.meta["val"].squeeze(tuple(gone))
    _follow(graph, view, kept)


def _follow(graph: Graph, source: Node, axes: list[int]) -> None:
    """Rewrite the readers of a tensor.

    Args:
        graph: The program.
        source: The tensor, without some axes.
        axes: For each axis that is left, its number before.
    """
    for user in list(source.users):
        if user.target in _VIEWS:
            continue
        order = _order(user)
        if order is None:
            user.meta["val"] = source.meta["val"].to(user.meta["val"].dtype)
            _follow(graph, user, axes)
            continue
        moved = [axis for axis in order if axis in axes]
        with graph.inserting_before(user):
            places = [axes.index(axis) for axis in moved]
            new = graph.call_function(_ATEN.permute.default, (source, places))
        new.meta = {**user.meta, "val": source.meta["val"].permute(places)}
        user.replace_all_uses_with(new)
        graph.erase_node(user)
        _follow(graph, new, [place for place, axis in enumerate(order) if axis in axes])


def _order(node: Node) -> list[int] | None:
    """Return the source axis of each axis of a permutation's result, ``None`` for a copy."""
    if _is_copy(node):
        return None
    rank = _rank(node)
    if node.target == _ATEN.permute.default:
        given: Any = node.args[1]
        return [axis % rank for axis in given]
    order = list(range(rank))
    first, second = (int(axis) % rank for axis in node.args[1:3])  # type: ignore[arg-type]
    order[first], order[second] = order[second], order[first]
    return order
