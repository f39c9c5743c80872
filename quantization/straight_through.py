"""Gradients through the rounding that a network does itself, for training.

Rounding to whole numbers has a gradient of zero, and a conversion to integers has none. A network
that ends with either could not be trained. In training the gradient passes straight through (Y.
Bengio et al., arXiv:1308.3432). The values stay the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

_aten = torch.ops.aten

_ROUNDING = (
    _aten.round.default,
    _aten.round.decimals,
    _aten.floor.default,
    _aten.ceil.default,
    _aten.trunc.default,
)
_CASTS = (_aten.to.dtype, _aten._to_copy.default, _aten.to.dtype_layout, _aten.type_as.default)


def pass_gradients(graph: GraphModule) -> None:
    """Let gradients pass through the roundings and conversions of a graph, in place.

    A conversion of a float tensor to whole numbers then gives float values, which are the same
    numbers. A tensor that is read elsewhere too keeps its gradient, as in ``x - floor(x)``, and so
    do whole numbers that are indices.
    """
    for node in list(graph.graph.nodes):
        if node.target is _aten._assert_tensor_metadata.default:  # it would insist on whole numbers
            graph.graph.erase_node(node)
    for node in graph.graph.nodes:
        if node.op != "call_function" or not node.args or not _read_once(node.args[0]):
            continue
        if node.target in _ROUNDING or (
            node.target in _CASTS and _to_integers(node) and _read_as_float(node)
        ):
            node.args = (node.target, *node.args)
            node.target = _rounded
    graph.recompile()


def _read_once(source: Any) -> bool:
    return isinstance(source, Node) and len(source.users) == 1


def _rounded(operator: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the operator's result as float, with the gradient of the identity."""
    result: Tensor = x + (operator(x, *args, **kwargs).to(x.dtype) - x).detach()
    return result


def _to_integers(node: Node) -> bool:
    source = node.args[0]
    found = [n.meta["val"] for n in (source, node) if isinstance(n, Node) and "val" in n.meta]
    return (
        len(found) == 2
        and found[0].is_floating_point()
        and not found[1].is_floating_point()
        and not found[1].is_complex()
        and found[1].dtype != torch.bool
    )


def _read_as_float(node: Node) -> bool:
    """Return true if every reader of a tensor of integers turns it to float at once."""
    return all(
        user.target in _CASTS and "val" in user.meta and user.meta["val"].is_floating_point()
        for user in node.users
    )
