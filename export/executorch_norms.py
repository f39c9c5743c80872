"""Normalisations as means and products, for ExecuTorch.

The portable kernels of executorch 1.5.1 take the variance as ``E[x^2] - E[x]^2``. For features that
hardly vary, that difference is rounding alone. Where it is negative, its square root is NaN. Here,
the variance is the mean square of ``x - mean``. XNNPACK computes most of these operators, but has
no normalisation.

Normalisation of fp16 features is computed in float32, since their squares leave float16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten


def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> Tensor:
    batch, channels = x.shape[:2]
    spatial = range(2, x.dim())

    def mean(values: Tensor) -> Tensor:
        # The means of channels come first, since XNNPACK takes no mean over three axes.
        each = _mean(values, spatial)
        if groups == channels:
            return each
        every = each.reshape(batch, groups, channels // groups).mean(2, keepdim=True)
        every = every.expand(batch, groups, channels // groups)
        return every.reshape(batch, channels, *[1] * len(spatial))

    shape = (channels, *[1] * len(spatial))
    return _normalised(x, mean, _shaped(weight, shape), _shaped(bias, shape), eps)


def _instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    _momentum: float,
    eps: float,
    _cudnn: bool,
) -> Tensor:
    if not use_input_stats:
        return torch.batch_norm(
            x, weight, bias, running_mean, running_var, False, _momentum, eps, False
        )
    return _group_norm(x, x.shape[1], weight, bias, eps)


def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> Tensor:
    axes = range(x.dim() - len(shape), x.dim())
    return _normalised(x, lambda values: _mean(values, axes), weight, bias, eps)


def _normalised(
    x: Tensor,
    mean: Callable[[Tensor], Tensor],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    exact = x.float()
    centred = exact - mean(exact)
    result = centred * torch.rsqrt(mean(centred * centred) + eps)
    result = result if weight is None else result * weight
    result = result if bias is None else result + bias
    return result.to(x.dtype)


def _mean(values: Tensor, axes: range) -> Tensor:
    """Return the mean over ``axes``, which stay with the length 1.

    Means of two axes are what XNNPACK takes. Over more axes, a portable kernel adds the values one
    by one, which loses digits unless it goes axis by axis.
    """
    if len(axes) == 2 and axes.start == 2:
        return values.mean((2, 3), keepdim=True)
    for axis in reversed(axes):
        values = values.mean(axis, keepdim=True)
    return values


def _shaped(parameter: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    return None if parameter is None else parameter.reshape(shape)


NORMALISATIONS: MappingProxyType[Any, Callable[..., Tensor]] = MappingProxyType(
    {
        _ATEN.group_norm.default: _group_norm,
        _ATEN.instance_norm.default: _instance_norm,
        _ATEN.layer_norm.default: _layer_norm,
    }
)
"""Operator -> function that computes it by other operators."""
