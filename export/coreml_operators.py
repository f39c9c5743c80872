"""Operators that Core ML's converter does not know, in terms of those that it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram


def converted(exported: ExportedProgram) -> ExportedProgram:
    """Replace every operator without a converter by torch's own decomposition of it.

    All others stay whole: a ``gelu`` or a ``pixel_shuffle`` in pieces would be slower on a device.
    An operator that torch does not decompose either stays, for the converter to complain of.
    """
    from coremltools.converters.mil.frontend.torch.torch_op_registry import (
        is_torch_fx_node_supported,
    )

    known = torch.export.default_decompositions()
    chosen: dict[Any, Callable[..., Any]] = {}
    while True:
        exported = exported.run_decompositions(chosen)
        operators = {
            node.target
            for node in exported.graph.nodes
            if isinstance(node.target, torch._ops.OpOverload)
            and not is_torch_fx_node_supported(node)
        }
        new = {op: known[op] for op in operators - chosen.keys() if op in known}
        if not new:
            return exported
        chosen |= new
