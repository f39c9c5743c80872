"""Rewriting of normalisations by the statistics that they use: kept ones, or the picture's own."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.replacement import call, replace_each

_ATEN = torch.ops.aten

_USES_PICTURE = 5
"""Position of the argument that says whether the picture's own statistics are used."""


def plain_statistics(module: GraphModule) -> bool:
    """Let batch normalisations use kept statistics, and instance normalisations the picture's.

    An instance normalisation with kept statistics (``track_running_stats``) is a batch
    normalisation. coremltools 9.0 takes the picture's statistics for it without a word. For a batch
    of one picture, a batch normalisation without kept statistics is an instance normalisation.

    Returns:
        True when ``module`` was changed.
    """
    others = {_ATEN.instance_norm.default: False, _ATEN.batch_norm.default: True}
    found = [
        n
        for n in module.graph.nodes
        if n.target in others and bool(n.args[_USES_PICTURE]) is others[n.target]
    ]
    return replace_each(module, found, lambda node: _exchanged(module, node))


def _exchanged(module: GraphModule, node: Node) -> Node:
    x, weight, bias, mean, variance, own, momentum, epsilon, _ = node.args
    kept: tuple[Any, ...] = (None, None) if own else (mean, variance)
    target = _ATEN.instance_norm.default if own else _ATEN.batch_norm.default
    return call(module.graph, target, x, weight, bias, *kept, own, momentum, epsilon, False)
