"""Rewriting of convolutions over a short third axis as convolutions over the picture."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.constants import attribute, register
from edgeexpo.program.replacement import call, replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_DEFAULTS: tuple[Any, ...] = (None, None, None, 1, 0, 1, 1)


def flat_volumes(module: GraphModule) -> bool:
    """Replace 3-D convolutions over a few frames by 2-D convolutions, in place.

    The first axis of the kernel becomes part of the input channels, and every place on the first
    axis of the result gets a convolution of its own. The first axis, such as the frames of a burst,
    needs a fixed length. XNNPACK and ExecuTorch's portable kernels have no 3-D convolution.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target == _ATEN.conv3d.default and _fits(n)]
    return replace_each(module, found, lambda node: _flat(module, node))


def _fits(node: Node) -> bool:
    x, result = tensor_of(node.args[0]), tensor_of(node)
    weight = node.args[1]
    return (
        x is not None
        and result is not None
        and x.dim() == 5
        and isinstance(x.shape[2], int)
        and isinstance(result.shape[2], int)
        and isinstance(weight, Node)
        and weight.op == "get_attr"
    )


def _flat(module: GraphModule, node: Node) -> Node:
    given: list[Any] = [*node.args, *_DEFAULTS[len(node.args) :]]
    x, kernel, bias, *geometry = given
    stride, padding, dilation = (_three(value) for value in geometry[:3])
    weight, result = attribute(module, kernel), tensor_of(node)
    assert result is not None
    taps = weight.shape[2]
    name = f"flat_{node.name}_weight"
    register(module, name, weight.reshape(weight.shape[0], -1, *weight.shape[3:]))
    graph = module.graph
    flat = graph.get_attr(name)
    if padding[0]:
        x = call(graph, _ATEN.constant_pad_nd.default, x, [0, 0, 0, 0, padding[0], padding[0]])
    made = []
    for place in range(result.shape[2]):
        start = place * stride[0]
        end = start + (taps - 1) * dilation[0] + 1
        frames = call(graph, _ATEN.slice.Tensor, x, 2, start, end, dilation[0])
        channels = call(graph, _ATEN.flatten.using_ints, frames, 1, 2)
        rest = (stride[1:], padding[1:], dilation[1:], geometry[3])
        convolved = call(graph, _ATEN.conv2d.default, channels, flat, bias, *rest)
        convolved.meta = {k: v for k, v in node.meta.items() if k != "val"}
        made.append(call(graph, _ATEN.unsqueeze.default, convolved, 2))
    return made[0] if len(made) == 1 else call(graph, _ATEN.cat.default, made, 2)


def _three(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 3 if len(values) == 1 else values
