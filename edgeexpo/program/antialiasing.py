"""Rewriting of antialiased reduction by a whole factor as a convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from edgeexpo.program.constants import register
from edgeexpo.program.replacement import replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: torch.Tensor) -> torch.Tensor:
    """Return R. Keys' cubic kernel of a = -0.5, "Cubic convolution interpolation", 1981."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


_KERNELS: dict[Any, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    _ATEN._upsample_bilinear2d_aa.vec: (_triangle, 1),
    _ATEN._upsample_bicubic2d_aa.vec: (_cubic, 2),
}
"""Operator -> its kernel, and the radius of the kernel in pixels of the result."""


def plain_antialiasing(module: GraphModule) -> bool:
    """Replace antialiased reductions by whole factors by strided convolutions, in place.

    Core ML and ExecuTorch have no such operator, and ONNX has it for one size alone. Near the
    borders, torch leaves out the pixels outside and divides by the sum of the remaining weights.
    The same convolution over a picture of ones gives that sum.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target in _KERNELS and _factors(n)]
    return replace_each(module, found, lambda node: _convolved(module, node))


def _factors(node: Node) -> tuple[int, int] | None:
    """Return the whole factors of height and width by which ``node`` reduces its picture."""
    source, _, aligned, scales = (*node.args, None, None, None)[:4]
    value = tensor_of(source)
    whole = value is not None and isinstance(value.shape[1], int) and not aligned
    if not whole or not isinstance(scales, list | tuple):
        return None
    factors = [round(1 / float(scale)) for scale in scales]
    exact = all(f >= 1 and f * float(s) == 1 for f, s in zip(factors, scales, strict=True))
    return (factors[0], factors[1]) if exact and max(factors) > 1 else None


def _convolved(module: GraphModule, node: Node) -> Node:
    source, factors = node.args[0], _factors(node)
    value = tensor_of(source)
    assert factors is not None
    assert value is not None
    assert isinstance(source, Node)
    kernel, radius = _KERNELS[node.target]
    (rows, top), (columns, left) = (_taps(kernel, radius, factor) for factor in factors)
    weight = torch.outer(rows, columns)[None, None]
    graph, name, channels = module.graph, f"{node.name}_kernel", int(value.shape[1])
    register(module, name, weight.repeat(channels, 1, 1, 1).to(value.dtype))
    register(module, f"{name}_sum", weight.to(value.dtype))
    window: tuple[Any, ...] = (list(factors), [top, left], [1, 1])
    total = graph.call_function(
        _ATEN.conv2d.default,
        (_ones(graph, source, value.dtype), graph.get_attr(f"{name}_sum"), None, *window, 1),
    )
    summed = graph.call_function(
        _ATEN.conv2d.default, (source, graph.get_attr(name), None, *window, channels)
    )
    return graph.call_function(_ATEN.div.Tensor, (summed, total))


def _ones(graph: Graph, source: Node, dtype: torch.dtype) -> Node:
    sides = [graph.call_function(_ATEN.sym_size.int, (source, axis)) for axis in (2, 3)]
    return graph.call_function(_ATEN.full.default, ([1, 1, *sides], 1.0), {"dtype": dtype})


def _taps(
    kernel: Callable[[torch.Tensor], torch.Tensor], radius: int, factor: int
) -> tuple[torch.Tensor, int]:
    """Return the weights along one axis, and the padding before the picture in pixels."""
    if factor == 1:
        return torch.ones(1, dtype=torch.float64), 0
    # The middle of the first pixel of the result lies at half the factor.
    reach = radius * factor - factor % 2
    position = torch.arange(-reach, reach + factor % 2, dtype=torch.float64)
    weights = kernel((position + (0.5 if factor % 2 == 0 else 0.0)) / factor)
    return weights / weights.sum(), reach - factor // 2
