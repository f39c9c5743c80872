"""Rewriting of assignments through a mask, such as ``y[y < 0] = 0``, as a choice at every pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from edgeexpo.program.replacement import call, replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

_EVERYWHERE = frozenset(
    (
        _ATEN.add.Tensor,
        _ATEN.sub.Tensor,
        _ATEN.rsub.Scalar,
        _ATEN.mul.Tensor,
        _ATEN.neg.default,
        _ATEN.abs.default,
        _ATEN.clamp.default,
        _ATEN.relu.default,
        _ATEN.sigmoid.default,
        _ATEN.tanh.default,
    )
)
"""Operators that give a finite number for every finite number."""

_HARMLESS = 1.0
"""Number for which powers, logarithms, roots and quotients are finite."""


def chosen_by_mask(module: GraphModule) -> bool:
    """Replace ``out[mask] = f(x[mask])`` by ``where(mask, f(x), out)``, in place.

    ``f`` may be any chain of operators that look at one value at a time, as in the two branches of
    a transfer curve. A number may also stand on the right. ``x[mask]`` has as many values as the
    mask has pixels, which no engine can plan for.

    Returns:
        True when ``module`` was changed.
    """
    writes = [n for n in module.graph.nodes if _mask_of(n) is not None]
    found = [n for n in writes if n.target == _ATEN.index_put.default and _fits(n)]
    reads = {r for n in found for r in _reads(n.args[2], n)}
    changed = replace_each(module, found, lambda node: _chosen(module.graph, node))
    for node in [n for n in module.graph.nodes if n in reads]:
        _forget_length(node)
    if changed:
        module.graph.eliminate_dead_code()
        module.recompile()
    return changed


def _mask_of(node: Node) -> Node | None:
    """Return the one mask by which an operator reads or writes a tensor."""
    if node.target not in (_ATEN.index.Tensor, _ATEN.index_put.default):
        return None
    indices: Any = node.args[1]
    given = [index for index in indices if index is not None]
    mask = tensor_of(given[0]) if len(given) == 1 else None
    return given[0] if mask is not None and mask.dtype == torch.bool else None


def _fits(node: Node) -> bool:
    """Return true if what is assigned is a number or made from values under the same mask."""
    accumulates = (*node.args, False)[3]
    return not accumulates and _is_translatable(node.args[2], node)


def _is_translatable(value: Any, write: Node) -> bool:
    tensor = tensor_of(value)
    if tensor is None:
        return not isinstance(value, Node)
    if _is_same_read(value, write) or tensor.dim() <= _trailing(write):
        return True
    return _is_pointwise(value) and all(
        _is_translatable(source, write) for source in value.all_input_nodes
    )


def _trailing(write: Node) -> int:
    """Return the number of axes behind those that the mask covers."""
    indices: Any = write.args[1]
    target, mask = tensor_of(write.args[0]), _mask_of(write)
    covered = tensor_of(mask)
    assert target is not None
    assert covered is not None
    return target.dim() - (len(indices) - 1) - covered.dim()


def _is_pointwise(node: Node) -> bool:
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags


def _is_same_read(value: Node, write: Node) -> bool:
    if value.target != _ATEN.index.Tensor or _mask_of(value) is None:
        return False
    read, written = tensor_of(value.args[0]), tensor_of(write.args[0])
    assert read is not None
    assert written is not None
    return read.dim() == written.dim() and _same(value.args[1], write.args[1])


def _same(first: Any, second: Any) -> bool:
    """Return true if two values are the same by construction, as two ``~mask`` are."""
    if isinstance(first, Node) and isinstance(second, Node):
        return first is second or (
            first.op == second.op == "call_function"
            and first.target == second.target
            and first.kwargs == second.kwargs
            and _same(first.args, second.args)
        )
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    return type(first) is type(second) and bool(first == second)


def _reads(value: Any, write: Node) -> set[Node]:
    """Return the reads that a value is made of, one value under the mask at a time."""
    tensor = tensor_of(value)
    if tensor is None or tensor.dim() <= _trailing(write):
        return set()
    if _is_same_read(value, write):
        return {value}
    return {r for source in value.all_input_nodes for r in _reads(source, write)}


def _chosen(graph: Graph, write: Node) -> Node:
    target, mask = write.args[0], _mask_of(write)
    for _ in range(_trailing(write)):
        mask = call(graph, _ATEN.unsqueeze.default, mask, -1)
    made: dict[Node, Any] = {}
    value = _translated(graph, write.args[2], write, mask, made)
    return call(graph, _ATEN.where.self, mask, value, target)


def _translated(graph: Graph, value: Any, write: Node, mask: Any, made: dict[Node, Any]) -> Any:
    """Return what makes ``value`` at every pixel instead of those under the mask."""
    if not _reads(value, write):
        return value
    if value in made:
        return made[value]
    if _is_same_read(value, write):
        new = value.args[0]
        if not _is_finite_everywhere(value):
            new = call(graph, _ATEN.where.ScalarOther, mask, new, _HARMLESS)
    else:
        args, kwargs = map_arg(
            (value.args, value.kwargs), lambda n: _translated(graph, n, write, mask, made)
        )
        new = graph.call_function(value.target, args, kwargs)
        new.meta = {k: v for k, v in value.meta.items() if k != "val"}
    made[value] = new
    return new


def _is_finite_everywhere(node: Node) -> bool:
    """Return true if nothing computed from a node can leave the finite numbers."""
    users = [user for user in node.users if _is_pointwise(user)]
    return all(user.target in _EVERYWHERE and _is_finite_everywhere(user) for user in users)


def _forget_length(node: Node) -> None:
    """Erase the checks of the number of values under a mask, which torch puts behind a read.

    They stay if something still reads those values.
    """
    if any(tensor_of(user) is not None for user in node.users):
        return
    for user in list(node.users):
        _forget_length(user)
    if node.target == _ATEN._assert_scalar.default:
        node.graph.erase_node(node)
