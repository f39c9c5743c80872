"""Rewriting of masks combined by ``|``, ``&``, ``^`` and ``~`` for Core ML's converter."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch.fx import Graph

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

_LOGICAL: MappingProxyType[Any, Any] = MappingProxyType(
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


def logical_masks(graph: Graph) -> None:
    """Replace bitwise operators on masks by logical operators, in place.

    coremltools 9.0 takes ``__or__`` for an operator in place, because its name ends in ``_``, and
    has no ``bitwise_or``.
    """
    for node in graph.nodes:
        result = tensor_of(node)
        if node.target in _LOGICAL and result is not None and result.dtype == torch.bool:
            node.target = _LOGICAL[node.target]
