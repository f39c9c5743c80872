"""Removal of operators that change nothing.

Left in a program, they hide patterns from quantisers and converters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.layouts import take_any_layout
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_CHECKS = frozenset({_ATEN._assert_tensor_metadata.default})
_CONVERSIONS = frozenset(
    {
        _ATEN.to.device,
        _ATEN.to.dtype,
        _ATEN.to.dtype_layout,
        _ATEN.to.other,
        _ATEN.type_as.default,
        _ATEN.contiguous.default,
        _ATEN.clone.default,
        _ATEN.copy.default,
        _ATEN.lift_fresh_copy.default,
        _ATEN.detach.default,
        _ATEN.detach_.default,
        _ATEN.alias.default,
    }
)
_DROPOUTS = frozenset(
    {
        _ATEN.dropout.default,
        _ATEN.dropout_.default,
        _ATEN.feature_dropout.default,
        _ATEN.feature_dropout_.default,
        _ATEN.alpha_dropout.default,
        _ATEN.alpha_dropout_.default,
        _ATEN.feature_alpha_dropout.default,
        _ATEN.feature_alpha_dropout_.default,
    }
)
_TRAINING = 2

_PADS = frozenset(
    {
        _ATEN.pad.default,
        _ATEN.constant_pad_nd.default,
        _ATEN.reflection_pad2d.default,
        _ATEN.replication_pad2d.default,
    }
)

_LAYOUTS = frozenset({_ATEN.contiguous.default, _ATEN.clone.default, _ATEN.copy.default})
"""Operators whose result is laid out in memory otherwise than their operand."""

_KEPT: dict[Any, int] = {_ATEN.copy.default: 1}
"""Operator -> position of the operand whose values it returns, where that is not the first."""


def remove_identities(module: GraphModule) -> bool:
    """Remove metadata checks, dropout in eval mode, and conversions that keep dtype and device.

    Padding by nothing and slices of everything go as well, as in a network that pads its picture to
    a multiple inside itself.

    Copies into a contiguous tensor go as well. Views then become reshapes
    (:func:`edgeexpo.program.layouts.take_any_layout`), since what they read is laid out otherwise.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.op == "call_function" and _is_identity(n)]
    for node in found:
        if node.target not in _CHECKS:
            source = node.args[_KEPT.get(node.target, 0)]
            assert isinstance(source, Node)
            node.replace_all_uses_with(source)
        module.graph.erase_node(node)
    if any(node.target in _LAYOUTS for node in found):
        take_any_layout(module)
    if found:
        module.graph.lint()
        module.recompile()
    return bool(found)


def _is_identity(node: Node) -> bool:
    if node.target in _CHECKS:
        return True
    if node.target in _DROPOUTS:
        return not (node.args + (True,) * 3)[_TRAINING]
    if node.target in _PADS:
        return _pads_nothing(node)
    if node.target not in _CONVERSIONS and not _is_whole_slice(node):
        return False
    before, after = tensor_of(node.args[_KEPT.get(node.target, 0)]), tensor_of(node)
    if before is None or after is None or before.dim() != after.dim():
        return False
    alike = all(map(_same_length, before.shape, after.shape))
    return alike and before.dtype == after.dtype and before.device == after.device


def _pads_nothing(node: Node) -> bool:
    lengths = node.args[1]
    return isinstance(lengths, (list, tuple)) and all(
        isinstance(length, int) and length == 0 for length in lengths
    )


def _is_whole_slice(node: Node) -> bool:
    """Return true for a slice that takes every place, if it keeps the length of its axis."""
    return node.target == _ATEN.slice.Tensor and bool((node.args + (1,) * 5)[4] == 1)


def _same_length(first: int | torch.SymInt, second: int | torch.SymInt) -> bool:
    """Return true if two sides are the same number or the same expression."""
    return str(first) == str(second)
