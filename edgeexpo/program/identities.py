"""Removal of operators that change nothing.

Left in a program, they hide patterns from quantisers and converters.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_CHECKS = frozenset({_ATEN._assert_tensor_metadata.default})
_CONVERSIONS = frozenset(
    {
        _ATEN.to.device,
        _ATEN.to.dtype,
        _ATEN.to.dtype_layout,
        _ATEN.contiguous.default,
        _ATEN.lift_fresh_copy.default,
        _ATEN.detach.default,
        _ATEN.detach_.default,
        _ATEN.alias.default,
    }
)
_DROPOUTS = frozenset({_ATEN.dropout.default, _ATEN.dropout_.default})
_TRAINING = 2


def remove_identities(module: GraphModule) -> bool:
    """Remove metadata checks, dropout in eval mode, and conversions that keep dtype and device.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.op == "call_function" and _is_identity(n)]
    for node in found:
        if node.target not in _CHECKS:
            source = node.args[0]
            assert isinstance(source, Node)
            node.replace_all_uses_with(source)
        module.graph.erase_node(node)
    if found:
        module.graph.lint()
        module.recompile()
    return bool(found)


def _is_identity(node: Node) -> bool:
    if node.target in _CHECKS:
        return True
    if node.target in _DROPOUTS:
        return not (node.args + (True,) * 3)[_TRAINING]
    if node.target not in _CONVERSIONS or not isinstance(node.args[0], Node):
        return False
    before, after = tensor_of(node.args[0]), tensor_of(node)
    if before is None or after is None:
        return False
    return before.dtype == after.dtype and before.device == after.device
