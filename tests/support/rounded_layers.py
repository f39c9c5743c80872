"""Simulated chains of layers with rounded weights, built without a capture."""

from __future__ import annotations

import torch
from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver

from edgeexpo.quantization.simulation import Rounding

OPERATORS = {
    torch.nn.Conv2d: torch.ops.aten.conv2d.default,
    torch.nn.ConvTranspose2d: torch.ops.aten.conv_transpose2d.input,
}


def arguments(layer):
    """Return the operator's arguments after input, weight and bias."""
    if isinstance(layer, torch.nn.ConvTranspose2d):
        order = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
    else:
        order = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return tuple(list(x) if isinstance(x, tuple) else x for x in order)


def rounded(layers):
    """Return a graph of convolutions with ReLUs between; weights are rounded to their codes."""
    root, graph = torch.nn.Module(), torch.fx.Graph()
    x = graph.placeholder("y0")
    for index, layer in enumerate(layers):
        axis = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
        observer = PerChannelMinMaxObserver(
            ch_axis=axis,
            dtype=torch.int8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-127,
            quant_max=127,
            eps=2**-12,
        )
        setattr(root, f"activation_post_process_{index}", Rounding(observer))
        values = {"weight": layer.weight, "bias": layer.bias}
        nodes = {}
        for name, value in values.items():
            if value is not None:
                own = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
                root.register_parameter(f"{name}{index}", own)
            nodes[name] = None if value is None else graph.get_attr(f"{name}{index}")
        codes = graph.call_module(f"activation_post_process_{index}", (nodes["weight"],))
        inputs = (x, codes, nodes["bias"], *arguments(layer))
        x = graph.call_function(OPERATORS[type(layer)], inputs)
        if index + 1 < len(layers):
            x = graph.call_function(torch.ops.aten.relu.default, (x,))
    graph.output(x)
    return torch.fx.GraphModule(root, graph)


def correlated(count, channels, height=24, width=28):
    """Return inputs whose channels and neighbours are correlated, as in photographs."""
    generator = torch.Generator().manual_seed(1)
    mixed = torch.rand(channels, 3, generator=generator)
    found = []
    for _ in range(count):
        low = torch.rand(1, 3, 6, 7, generator=generator)
        smooth = torch.nn.functional.interpolate(low, (height, width), mode="bilinear")
        found.append((torch.einsum("oc,nchw->nohw", mixed, smooth),))
    return found
