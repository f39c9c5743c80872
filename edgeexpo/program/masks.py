"""Rewriting of operators on masks as logic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

_ARITHMETIC: Mapping[Any, Any] = MappingProxyType(
    {
        _ATEN.add.Tensor: _ATEN.logical_or.default,
        _ATEN.mul.Tensor: _ATEN.logical_and.default,
        _ATEN.maximum.default: _ATEN.logical_or.default,
        _ATEN.minimum.default: _ATEN.logical_and.default,
    }
)
"""Arithmetic operator -> the logical operator that is the same for two masks."""

_BITWISE: Mapping[Any, Any] = MappingProxyType(
    {
        _ATEN.__or__.Tensor: _ATEN.logical_or.default,
        _ATEN.__and__.Tensor: _ATEN.logical_and.default,
        _ATEN.__xor__.Tensor: _ATEN.logical_xor.default,
        _ATEN.bitwise_or.Tensor: _ATEN.logical_or.default,
        _ATEN.bitwise_and.Tensor: _ATEN.logical_and.default,
        _ATEN.bitwise_xor.Tensor: _ATEN.logical_xor.default,
        _ATEN.bitwise_not.default: _ATEN.logical_not.default,
    }
)
"""Bitwise operator -> the logical operator that is the same for masks."""


def logical_sums(module: GraphModule) -> bool:
    """Write the sum and product of two masks as ``or`` and ``and``, in place.

    ONNX adds and multiplies numbers only.

    Returns:
        True when ``module`` was changed.
    """
    changed = _as_logic(module.graph, _ARITHMETIC)
    if changed:
        module.recompile()
    return changed


def logical_masks(graph: Graph) -> None:
    """Replace bitwise operators on masks by logical operators, in place.

    coremltools 9.0 takes ``__or__`` for an operator in place, because its name ends in ``_``, and
    has no ``bitwise_or``.
    """
    _as_logic(graph, _BITWISE)


def _as_logic(graph: Graph, operators: Mapping[Any, Any]) -> bool:
    found = [n for n in graph.nodes if n.target in operators and _is_of_masks(n)]
    for node in found:
        node.target = operators[node.target]
    return bool(found)


def _is_of_masks(node: Node) -> bool:
    values = [tensor_of(value) for value in (node, *node.args)]
    return all(value is not None and value.dtype == torch.bool for value in values)
