"""Rewriting of filled and converted tensors so that they read nothing but sizes and types."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from edgeexpo.program.replacement import replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

_NEW: dict[Any, float | None] = {
    _ATEN.new_zeros.default: 0.0,
    _ATEN.new_ones.default: 1.0,
    _ATEN.new_full.default: None,
}
"""Operators with arguments (tensor, size, ...) -> the value that they fill in."""

_LIKE: dict[Any, float | None] = {
    _ATEN.zeros_like.default: 0.0,
    _ATEN.ones_like.default: 1.0,
    _ATEN.full_like.default: None,
}
"""Operators with arguments (tensor, ...) -> the value that they fill in."""

_OF_TYPE = frozenset((_ATEN.type_as.default, _ATEN.to.other))
"""Operators with arguments (tensor, other tensor, ...) that give the first the type of the other.
"""


def plain_fills(module: GraphModule) -> bool:
    """Replace ``new_zeros``, ``zeros_like`` and their kin by ``full`` or a number, in place.

    They take a tensor, but read only its type, device and size. After the rewrite, a filled tensor
    of a fixed size is a constant, and the converters need to know one operator instead of seven.
    For the same reason ``type_as`` names the type.

    Returns:
        True when ``module`` was changed.
    """
    kinds = (*_NEW, *_LIKE, *_OF_TYPE)
    found = [n for n in module.graph.nodes if n.target in kinds]
    return replace_each(module, found, lambda node: _filled(module.graph, node))


def _filled(graph: Graph, node: Node) -> Node:
    result = tensor_of(node)
    assert result is not None
    if node.target in _OF_TYPE:
        return graph.call_function(_ATEN.to.dtype, (node.args[0], result.dtype))
    size, value = _arguments(graph, node)
    typed = _typed(value, result.dtype)
    target, arguments = (
        (_ATEN.full.default, (size, typed)) if size else (_ATEN.scalar_tensor.default, (typed,))
    )
    return graph.call_function(target, arguments, {"dtype": result.dtype})


def _arguments(graph: Graph, node: Node) -> tuple[list[Any], Any]:
    """Return the size and the value of a filled tensor."""
    if node.target in _NEW:
        value = _NEW[node.target]
        size = list(node.args[1])  # type: ignore[arg-type]
        return size, node.args[2] if value is None else value
    source, result = node.args[0], tensor_of(node)
    assert result is not None
    size = [
        length
        if isinstance(length, int)
        else graph.call_function(_ATEN.sym_size.int, (source, axis))
        for axis, length in enumerate(result.shape)
    ]
    value = _LIKE[node.target]
    return size, node.args[1] if value is None else value


def _typed(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Node):
        return value
    if dtype == torch.bool:
        return bool(value)
    return float(value) if dtype.is_floating_point else int(value)
