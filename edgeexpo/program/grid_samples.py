"""Rewriting of samples from a volume as samples from its slices."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.constants import register
from edgeexpo.program.replacement import call, replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_BILINEAR = 0
_ZEROS, _BORDER = 0, 1


def flat_grid_samples(module: GraphModule) -> bool:
    """Replace trilinear samples from a volume by bilinear samples from its slices, in place.

    Bilateral grids, as in HDRNet, are read so. A slice is weighted by ``max(0, 1 - |z - slice|)``
    with ``z`` in slices, which is what linear interpolation between slices means. The number of
    slices must be fixed, and the grid must hold one sample for each pixel. Neither ExecuTorch nor
    Core ML samples from volumes.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target == _ATEN.grid_sampler.default and _fits(n)]
    return replace_each(module, found, lambda node: _flat(module, node))


def _fits(node: Node) -> bool:
    volume, grid = tensor_of(node.args[0]), tensor_of(node.args[1])
    return bool(
        volume is not None
        and grid is not None
        and volume.dim() == 5
        and isinstance(volume.shape[1], int)
        and isinstance(volume.shape[2], int)
        and isinstance(grid.shape[1], int)
        and grid.shape[1] == 1
        and node.args[2] == _BILINEAR
        and node.args[3] in (_ZEROS, _BORDER)
    )


def _flat(module: GraphModule, node: Node) -> Node:
    volume, grid, mode, padding, aligned = node.args
    value = tensor_of(volume)
    assert value is not None
    channels, slices = (int(length) for length in value.shape[1:3])
    graph = module.graph
    places = call(graph, _ATEN.select.int, grid, 1, 0)
    across = call(graph, _ATEN.slice.Tensor, places, 3, 0, 2)
    depth = call(graph, _ATEN.slice.Tensor, places, 3, 2, 3)
    flat = call(graph, _ATEN.flatten.using_ints, volume, 1, 2)
    sampled = call(graph, _ATEN.grid_sampler.default, flat, across, mode, padding, aligned)
    parts = call(graph, _ATEN.unflatten.int, sampled, 1, [channels, slices])
    scale = (slices - 1) / 2 if aligned else slices / 2
    index = call(graph, _ATEN.mul.Tensor, depth, scale)
    index = call(graph, _ATEN.add.Tensor, index, (slices - 1) / 2)
    if padding == _BORDER:
        index = call(graph, _ATEN.clamp.default, index, 0.0, float(slices - 1))
    index = call(graph, _ATEN.permute.default, index, [0, 3, 1, 2])
    index = call(graph, _ATEN.unsqueeze.default, index, 2)
    name = f"slices_{node.name}"
    register(module, name, torch.arange(float(slices)).reshape(1, 1, -1, 1, 1))
    distance = call(graph, _ATEN.sub.Tensor, index, graph.get_attr(name))
    near = call(graph, _ATEN.rsub.Scalar, call(graph, _ATEN.abs.default, distance), 1.0)
    weighted = call(graph, _ATEN.mul.Tensor, parts, call(graph, _ATEN.relu.default, near))
    return call(graph, _ATEN.sum.dim_IntList, weighted, [2], True)
