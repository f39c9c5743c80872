"""Folding of batch normalisation into the convolution or matrix product before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeexpo.program.constants import attribute, register

_ATEN = torch.ops.aten

_OUTPUT_AXES: dict[Any, int] = {
    _ATEN.conv1d.default: 0,
    _ATEN.conv2d.default: 0,
    _ATEN.conv2d.padding: 0,
    _ATEN.conv3d.default: 0,
    _ATEN.linear.default: 0,
    _ATEN.conv_transpose1d.default: 1,
    _ATEN.conv_transpose2d.input: 1,
    _ATEN.conv_transpose3d.input: 1,
}
"""Operator with arguments (input, weight, bias, ...) -> axis of the weight's output channels."""

_TRAINING, _EPSILON = 5, 7


def fold_batch_norms(module: GraphModule) -> bool:
    """Multiply the weights of an operator by the batch normalisation that alone reads it, in place.

    PT2E and XNNPACK fold it as well, but neither into a transposed convolution with groups: torchao
    0.18 and executorch 1.5.1 then stop with an exception.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target == _ATEN.batch_norm.default and _fits(n)]
    for node in found:
        _fold(module, node)
    if found:
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
    return bool(found)


def _fits(node: Node) -> bool:
    source, *rest = node.args
    return (
        isinstance(source, Node)
        and source.target in _OUTPUT_AXES
        and len(source.users) == 1
        and not rest[_TRAINING - 1]
        and all(_is_constant(value) for value in (*rest[:4], *source.args[1:3]))
    )


def _is_constant(value: Any) -> bool:
    return value is None or (isinstance(value, Node) and value.op == "get_attr")


def _fold(module: GraphModule, node: Node) -> None:
    source = node.args[0]
    assert isinstance(source, Node)
    weight, bias = (attribute(module, value) for value in (*source.args, None)[1:3])
    scale, shift, mean, variance = (attribute(module, value) for value in node.args[1:5])
    assert weight is not None
    factor = torch.rsqrt(variance.double() + node.args[_EPSILON])
    factor = factor if scale is None else factor * scale
    added = -mean * factor if bias is None else (bias - mean) * factor
    added = added if shift is None else added + shift
    # The parameters stay with the module that owns the weight, which names the operator.
    owner = str(source.args[1].target).rpartition(".")[0]  # type: ignore[union-attr]
    names = [f"folded_{node.name}_{part}" for part in ("weight", "bias")]
    for name, value in zip(names, (_scaled(source, weight, factor), added), strict=True):
        register(module.get_submodule(owner), name, value.to(weight.dtype))
    names = [f"{owner}.{name}" if owner else name for name in names]
    with module.graph.inserting_before(source):
        parameters = [module.graph.get_attr(name) for name in names]
    for parameter in parameters:
        fake = source.args[1].meta["val"]  # type: ignore[union-attr]
        parameter.meta["val"] = fake.new_empty(attribute(module, parameter).shape)
    source.args = (source.args[0], *parameters, *source.args[3:])
    node.replace_all_uses_with(source)
    module.graph.erase_node(node)


def _scaled(source: Node, weight: Tensor, factor: Tensor) -> Tensor:
    """Return a weight times one factor for each output channel, in float64.

    A transposed convolution's weight holds the output channels of one group on its second axis, and
    the input channels of all groups on its first.
    """
    axis = _OUTPUT_AXES[source.target]
    if axis == 0:
        return weight * factor.reshape(-1, *[1] * (weight.dim() - 1))
    outputs = weight.shape[axis]
    groups = factor.numel() // outputs
    parts = weight.double().reshape(groups, -1, outputs, *weight.shape[2:])
    factors = factor.reshape(groups, 1, outputs, *[1] * (weight.dim() - 2))
    return (parts * factors).reshape(weight.shape)
