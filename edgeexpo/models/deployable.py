"""The deployable form of a trained network: batch normalisation folded, branches split."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def deployable(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` in eval mode that computes the same function and lowers better.

    If the module has its own method ``deployable()``, the copy is the result of this method. Then
    every batch normalisation that follows a convolution in the same ``Sequential`` is folded into
    the convolution. The argument stays unchanged.
    """
    module = copy.deepcopy(module).eval()
    own = getattr(module, "deployable", None)
    if callable(own):
        module = own().eval()
    for parent in list(module.modules()):
        if isinstance(parent, nn.Sequential):
            _fold(parent)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _fold(sequence: nn.Sequential) -> None:
    for name, following in zip(list(sequence._modules)[:-1], list(sequence)[1:], strict=True):
        layer = sequence._modules[name]
        if isinstance(layer, _CONVOLUTIONS) and isinstance(following, nn.BatchNorm2d):
            transposed = isinstance(layer, nn.ConvTranspose2d)
            with torch.no_grad():
                folded = fuse_conv_bn_eval(layer, following, transposed)
            sequence._modules[name] = folded
            after = list(sequence._modules)[list(sequence._modules).index(name) + 1]
            sequence._modules[after] = nn.Identity()
