"""Operators that ExecuTorch's kernels get wrong, written by others that they get right."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from edgeexpo.export.executorch_norms import NORMALISATIONS

_ATEN = torch.ops.aten


def executorch_form(exported: ExportedProgram) -> ExportedProgram:
    """Return ``exported`` with every operator replaced that a portable kernel gets wrong."""
    targets = {node.target for node in exported.graph.nodes}
    found = {target: plain for target, plain in _PLAIN.items() if target in targets}
    return exported.run_decompositions(found) if found else exported


def _remainder(x: Tensor, divisor: Any) -> Any:
    """Return ``remainder`` of integers, to which executorch 1.5.1 gives the sign of ``x``."""
    if x.is_floating_point() or isinstance(divisor, float):
        return NotImplemented
    return x - torch.div(x, divisor, rounding_mode="floor") * divisor


_PLAIN: MappingProxyType[Any, Callable[..., Any]] = MappingProxyType(
    {
        **NORMALISATIONS,
        _ATEN.remainder.Scalar: _remainder,
        _ATEN.remainder.Tensor: _remainder,
    }
)
"""Operator -> function that computes it by operators with right kernels."""
