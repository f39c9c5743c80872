"""Rewriting of arithmetic on masks as logic."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

_LOGICAL: MappingProxyType[Any, Any] = MappingProxyType(
    {
        _ATEN.add.Tensor: _ATEN.logical_or.default,
        _ATEN.mul.Tensor: _ATEN.logical_and.default,
        _ATEN.maximum.default: _ATEN.logical_or.default,
        _ATEN.minimum.default: _ATEN.logical_and.default,
    }
)
"""Arithmetic operator -> the logical operator that is the same for two masks."""


def logical_sums(module: GraphModule) -> bool:
    """Write the sum and product of two masks as ``or`` and ``and``, in place.

    ONNX adds and multiplies numbers only.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target in _LOGICAL and _is_of_masks(n)]
    for node in found:
        node.target = _LOGICAL[node.target]
    if found:
        module.recompile()
    return bool(found)


def _is_of_masks(node: Node) -> bool:
    values = [tensor_of(value) for value in (node, *node.args)]
    return all(value is not None and value.dtype == torch.bool for value in values)
