"""Operators that Core ML's converter gets wrong or lacks, written by others that it gets right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten


def _between(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Return ``clamp`` by tensors. The converter takes the lower bound where the bounds cross."""
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _at_least(x: Tensor, low: float) -> Tensor:
    """Return ``clamp_min``, which the converter takes with a bound of the type of ``x`` alone."""
    return torch.clamp(x, min=low if x.is_floating_point() else int(low))


def _at_most(x: Tensor, high: float) -> Tensor:
    return torch.clamp(x, max=high if x.is_floating_point() else int(high))


def _limited(x: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    return torch.clamp(x, low, high)


def _select(mask: Tensor, first: Any, second: Any) -> Tensor:
    """Return ``where`` with numbers as tensors of the result's type."""
    kind = torch.result_type(first, second)
    return torch.where(mask, _typed(first, kind), _typed(second, kind))


def _typed(value: Any, kind: torch.dtype) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(kind)
    return torch.scalar_tensor(value, dtype=kind)


def _threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    return _select(x > threshold, x, value)


def _towards_zero(x: Tensor) -> Any:
    return torch.where(x < 0, torch.ceil(x), torch.floor(x))


def _remainder_towards_zero(x: Tensor, divisor: Any) -> Any:
    return x - _towards_zero(x / divisor) * divisor


def _remainder(x: Tensor, divisor: Any) -> Any:
    """Return ``remainder`` of real numbers. The converter drops a whole quotient by one."""
    if not x.is_floating_point():
        return NotImplemented
    return x - torch.floor(x / divisor) * divisor


def _quotient(x: Tensor, divisor: Any, *, rounding_mode: str | None = None) -> Any:
    """Return the whole quotient of real numbers, for the same reason."""
    if rounding_mode is None or not x.is_floating_point():
        return NotImplemented
    return (torch.floor if rounding_mode == "floor" else _towards_zero)(x / divisor)


def _fraction(x: Tensor) -> Any:
    return x - _towards_zero(x)


def _interpolated(first: Tensor, second: Tensor, weight: Any) -> Any:
    return first + weight * (second - first)


def _larger(first: Tensor, second: Tensor) -> Tensor:
    """Return ``fmax``, which is the other operand where one is NaN."""
    larger = torch.maximum(first, second)
    return torch.where(first != first, second, torch.where(second != second, first, larger))


def _smaller(first: Tensor, second: Tensor) -> Tensor:
    smaller = torch.minimum(first, second)
    return torch.where(first != first, second, torch.where(second != second, first, smaller))


def _finite(
    x: Tensor, nan: float | None = None, above: float | None = None, below: float | None = None
) -> Tensor:
    """Return ``nan_to_num``, whose conversion counts the values that are no numbers."""
    if not x.is_floating_point():
        return x
    limits = torch.finfo(x.dtype)
    largest = limits.max if above is None else above
    smallest = limits.min if below is None else below
    x = _select(x != x, 0.0 if nan is None else nan, x)
    x = _select(x > limits.max, largest, x)
    return _select(x < limits.min, smallest, x)


def _root_mean_square_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Return ``rms_norm``. The converter adds ``eps`` to a scaled mean, where it counts more.

    Squares of half-precision features are taken in float32, since they leave float16.
    """
    exact = x.float()
    mean = (exact * exact).mean(tuple(range(x.dim() - len(shape), x.dim())), keepdim=True)
    result = exact * torch.rsqrt(mean + (torch.finfo(x.dtype).eps if eps is None else eps))
    return (result if weight is None else result * weight).to(x.dtype)


def _bucket(x: Tensor, bounds: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Return ``bucketize``: the number of bounds below each value."""
    values = x.unsqueeze(-1)
    below = bounds <= values if right else bounds < values
    return below.to(torch.int32 if out_int32 else torch.int64).sum(-1)


PLAIN: MappingProxyType[Any, Callable[..., Any]] = MappingProxyType(
    {
        _ATEN.clamp.Tensor: _between,
        _ATEN.clamp_min.default: _at_least,
        _ATEN.clamp_max.default: _at_most,
        _ATEN.clamp_min.Tensor: _between,
        _ATEN.clamp_max.Tensor: lambda x, high: torch.minimum(x, high),
        _ATEN.hardtanh.default: _limited,
        _ATEN.where.Scalar: _select,
        _ATEN.where.ScalarSelf: _select,
        _ATEN.where.ScalarOther: _select,
        _ATEN.threshold.default: _threshold,
        _ATEN.trunc.default: _towards_zero,
        _ATEN.fix.default: _towards_zero,
        _ATEN.frac.default: _fraction,
        _ATEN.fmod.Scalar: _remainder_towards_zero,
        _ATEN.fmod.Tensor: _remainder_towards_zero,
        _ATEN.remainder.Scalar: _remainder,
        _ATEN.remainder.Tensor: _remainder,
        _ATEN.div.Tensor_mode: _quotient,
        _ATEN.div.Scalar_mode: _quotient,
        _ATEN.floor_divide.default: lambda x, y: _quotient(x, y, rounding_mode="floor"),
        _ATEN.lerp.Scalar: _interpolated,
        _ATEN.lerp.Tensor: _interpolated,
        _ATEN.fmax.default: _larger,
        _ATEN.fmin.default: _smaller,
        _ATEN.nan_to_num.default: _finite,
        _ATEN.bucketize.Tensor: _bucket,
        _ATEN.rms_norm.default: _root_mean_square_norm,
    }
)
"""Operator -> function that computes it by operators that the converter gets right."""
