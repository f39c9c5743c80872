"""Narrow and masked networks.

A narrow network has smaller parameters, and layers whose attributes fit them. A masked network has
zeros where the narrow network has no parameters. Both must compute the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
_NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)

Kept = Mapping[str, tuple[Tensor, ...]]
"""Kept positions: name of a narrowed parameter or buffer -> for each axis, ascending positions."""


def narrow(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Replace the parameters and buffers of ``module`` that are named in ``state``, in place.

    Tied parameters stay tied. Convolutions, linear layers, PReLUs and batch and instance
    normalisations take their widths from the new tensors. A depthwise convolution stays depthwise.
    """
    replaced: dict[int, nn.Parameter] = {}
    for prefix, layer in module.named_modules():
        depthwise = isinstance(layer, _CONVOLUTIONS) and layer.groups == layer.in_channels > 1
        for name, old in list(layer._parameters.items()):
            new = state.get(f"{prefix}.{name}" if prefix else name)
            if old is None or (new is None and id(old) not in replaced):
                continue
            if id(old) not in replaced and new is not None:
                replaced[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad)
            layer._parameters[name] = replaced[id(old)]
        for name in layer._buffers:
            layer._buffers[name] = state.get(
                f"{prefix}.{name}" if prefix else name, layer._buffers[name]
            )
        _describe(layer, depthwise)


def masked(network: nn.Module, kept: Kept) -> nn.Module:
    """Return a copy of ``network`` in which every position that is not in ``kept`` is zero.

    Parameters and buffers that ``kept`` does not name are unchanged.
    """
    copied = copy.deepcopy(network)
    named = {**dict(copied.named_parameters()), **dict(copied.named_buffers())}
    with torch.no_grad():
        for name, axes in kept.items():
            values = named[name].clone()
            named[name].zero_()
            places = torch.meshgrid(*axes, indexing="ij")
            named[name][places] = values[places]
    return copied


def _describe(layer: nn.Module, depthwise: bool) -> None:
    """Set the layer's attributes that count channels to the sizes of its parameters."""
    if isinstance(layer, _CONVOLUTIONS):
        first, second = layer.weight.shape[:2]
        if depthwise:
            times = layer.out_channels // layer.in_channels
            layer.groups = layer.in_channels = first if layer.transposed else first // times
            layer.out_channels = layer.in_channels * times
        elif layer.transposed:
            layer.in_channels, layer.out_channels = first, second * layer.groups
        else:
            layer.in_channels, layer.out_channels = second * layer.groups, first
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = layer.weight.numel()
    elif isinstance(layer, _NORMALISATIONS):
        known = layer.weight if layer.weight is not None else layer.running_mean
        if isinstance(known, torch.Tensor):
            layer.num_features = known.numel()
