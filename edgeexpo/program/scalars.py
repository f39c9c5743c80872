"""Conversion of a program's numbers to the type of the tensor that they are combined with."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.values import tensor_of


def real_bounds(module: GraphModule) -> bool:
    """Rewrite ``clamp(x, 1e-4, 1)`` as ``clamp(x, 1e-4, 1.0)`` where ``x`` is real, in place.

    The ONNX exporter of torch 2.13 makes a tensor of the integer bound but not of the real one.
    It then finds no clamp that takes both.

    Returns:
        True when ``module`` was changed.
    """
    found = [
        n for n in module.graph.nodes if n.target == torch.ops.aten.clamp.default and _mixed(n)
    ]
    for node in found:
        node.args = tuple(float(a) if isinstance(a, int) else a for a in node.args)
        node.kwargs = {k: float(v) if isinstance(v, int) else v for k, v in node.kwargs.items()}
    if found:
        module.recompile()
    return bool(found)


def _mixed(node: Node) -> bool:
    value = tensor_of(node.args[0])
    types = {type(bound) for bound in (*node.args[1:], *node.kwargs.values()) if bound is not None}
    return value is not None and value.is_floating_point() and types == {int, float}
