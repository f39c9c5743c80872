"""Rewriting of samples from a volume as samples from its slices."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.constants import attribute, drop_unread, register
from edgeexpo.program.replacement import call, replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten
_BILINEAR = 0
_ZEROS, _BORDER = 0, 1


def flat_grid_samples(module: GraphModule) -> bool:
    """Replace trilinear samples from a volume by bilinear samples from its slices, in place.

    Bilateral grids, as in HDRNet, are read so. A slice is weighted by ``max(0, 1 - |z - slice|)``
    with ``z`` in slices, which is what linear interpolation between slices means. The number of
    slices must be fixed. A volume of weights, such as a 3-D lookup table, is kept as its slices.
    Neither ExecuTorch nor Core ML samples from volumes.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target == _ATEN.grid_sampler.default and _fits(n)]
    volumes = {str(node.args[0].target) for node in found}
    changed = replace_each(module, found, lambda node: _flat(module, node))
    drop_unread(module, volumes & {name for name, _ in module.named_parameters()})
    return changed


def _fits(node: Node) -> bool:
    volume, grid = tensor_of(node.args[0]), tensor_of(node.args[1])
    return bool(
        volume is not None
        and grid is not None
        and volume.dim() == 5
        and isinstance(volume.shape[1], int)
        and isinstance(volume.shape[2], int)
        and node.args[2] == _BILINEAR
        and node.args[3] in (_ZEROS, _BORDER)
    )


def _flat(module: GraphModule, node: Node) -> Node:
    volume, grid, mode, padding, aligned = node.args
    value = tensor_of(volume)
    assert value is not None
    assert isinstance(volume, Node)
    channels, slices = (int(length) for length in value.shape[1:3])
    graph = module.graph
    # All samples lie in one plane, whatever the axes of the result.
    places = call(graph, _ATEN.flatten.using_ints, grid, 1, 2)
    across = call(graph, _ATEN.slice.Tensor, places, 3, 0, 2)
    depth = call(graph, _ATEN.slice.Tensor, places, 3, 2, 3)
    flat = _slices(module, volume)
    sampled = call(graph, _ATEN.grid_sampler.default, flat, across, mode, padding, aligned)
    parts = call(graph, _ATEN.unflatten.int, sampled, 1, [channels, slices])
    scale = (slices - 1) / 2 if aligned else slices / 2
    index = call(graph, _ATEN.mul.Tensor, depth, scale)
    index = call(graph, _ATEN.add.Tensor, index, (slices - 1) / 2)
    if padding == _BORDER:
        index = call(graph, _ATEN.clamp.default, index, 0.0, float(slices - 1))
    index = call(graph, _ATEN.permute.default, index, [0, 3, 1, 2])
    name = f"slices_{node.name}"
    register(module, name, torch.arange(float(slices)).reshape(1, -1, 1, 1))
    distance = call(graph, _ATEN.sub.Tensor, index, graph.get_attr(name))
    near = call(graph, _ATEN.rsub.Scalar, call(graph, _ATEN.abs.default, distance), 1.0)
    weights = call(graph, _ATEN.unsqueeze.default, call(graph, _ATEN.relu.default, near), 1)
    weighted = call(graph, _ATEN.mul.Tensor, parts, weights)
    plane = call(graph, _ATEN.sum.dim_IntList, weighted, [2])
    lengths = [call(graph, _ATEN.sym_size.int, grid, axis) for axis in (1, 2)]
    return call(graph, _ATEN.unflatten.int, plane, 2, lengths)


def _slices(module: GraphModule, volume: Node) -> Node:
    """Return a volume with its slices among the channels, as weights if it is one."""
    graph = module.graph
    if volume.op != "get_attr":
        return call(graph, _ATEN.flatten.using_ints, volume, 1, 2)
    name = f"{str(volume.target).replace('.', '_')}_slices"
    if not hasattr(module, name):
        register(module, name, attribute(module, volume).flatten(1, 2))
    return graph.get_attr(name)
