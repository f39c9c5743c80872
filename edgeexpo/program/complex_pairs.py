"""Complex numbers as pairs of real tensors, and the operators that work on such pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import map_aggregate

_ATEN = torch.ops.aten


@dataclass(frozen=True)
class Pair:
    """A complex tensor as its real and its imaginary part, of equal shape."""

    real: Tensor
    imag: Tensor


def pair_of(value: Any) -> Pair:
    """Return a pair, a real tensor or a Python number as a pair."""
    if isinstance(value, Pair):
        return value
    if isinstance(value, Tensor):
        return Pair(value, torch.zeros_like(value))
    number = complex(value)
    return Pair(torch.tensor(number.real), torch.tensor(number.imag))


def on_pairs(target: Any) -> Callable[..., Any] | None:
    """Return the function that computes an ATen operator on pairs, or ``None`` for unknown ones."""
    if target in _OPERATORS:
        return _OPERATORS[target]
    if target in _BOTH:
        return lambda *args, **kwargs: _on_both(target, args, kwargs)
    return None


def _on_both(target: Any, args: Any, kwargs: Any) -> Any:
    """Apply an operator that only moves or sums values to both parts."""
    real, imag = (target(*_parts(args, name), **_parts(kwargs, name)) for name in ("real", "imag"))
    if isinstance(real, Tensor):
        return Pair(real, imag)
    return [Pair(first, second) for first, second in zip(real, imag, strict=True)]


def _parts(values: Any, name: str) -> Any:
    """Return arguments with one part of each pair. Real tensors that are joined to pairs lack one.

    A list of tensors is joined. Outside lists, only what has pairs is of interest.
    """
    if isinstance(values, list | tuple) and any(isinstance(value, Pair) for value in values):
        joined = isinstance(values, list)
        return type(values)(
            getattr(pair_of(value), name)
            if isinstance(value, Pair) or (joined and isinstance(value, Tensor))
            else _parts(value, name)
            for value in values
        )
    return map_aggregate(values, lambda v: getattr(v, name) if isinstance(v, Pair) else v)


def _added(a: Any, b: Any, *, alpha: Any = 1) -> Pair:
    a, b = _split(a), _split(b)
    if not isinstance(a, Pair):
        a, b, scale = b, a, alpha
        first = Pair(scale * a.real, scale * a.imag) if scale != 1 else a
        real = first.real + b
        return Pair(real, first.imag.expand(real.shape))
    if isinstance(b, Pair):
        return Pair(a.real + alpha * b.real, a.imag + alpha * b.imag)
    real = a.real + alpha * b
    return Pair(real, a.imag.expand(real.shape))


def _subtracted(a: Any, b: Any, *, alpha: Any = 1) -> Pair:
    return _added(a, b, alpha=-alpha)


def _bilinear(product: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Pair]:
    """Return a product of pairs, made of the product of real tensors."""

    def run(a: Any, b: Any) -> Pair:
        a, b = (_split(v) for v in (a, b))
        if not isinstance(b, Pair):
            return Pair(product(a.real, b), product(a.imag, b))
        if not isinstance(a, Pair):
            return Pair(product(a, b.real), product(a, b.imag))
        return Pair(
            product(a.real, b.real) - product(a.imag, b.imag),
            product(a.real, b.imag) + product(a.imag, b.real),
        )

    return run


def _split(value: Any) -> Any:
    """Return a complex Python number as a pair of numbers, other values unchanged."""
    return Pair(value.real, value.imag) if isinstance(value, complex) else value  # type: ignore[arg-type]


_multiplied = _bilinear(lambda a, b: a * b)


def _divided(a: Any, b: Any) -> Pair:
    b = _split(b)
    if not isinstance(b, Pair):
        return Pair(a.real / b, a.imag / b)
    size = b.real * b.real + b.imag * b.imag
    product = _multiplied(_split(a), Pair(b.real, -b.imag))
    return Pair(product.real / size, product.imag / size)


def _absolute(a: Pair) -> Tensor:
    return torch.sqrt(a.real * a.real + a.imag * a.imag)


def _sign(a: Pair) -> Pair:
    size = _absolute(a)
    safe = torch.where(size > 0, size, torch.ones_like(size))
    return Pair(a.real / safe, a.imag / safe)


def _polar(size: Tensor, angle: Tensor) -> Pair:
    return Pair(size * torch.cos(angle), size * torch.sin(angle))


def _exponential(a: Pair) -> Pair:
    return _polar(torch.exp(a.real), a.imag)


def _power(a: Pair, exponent: Any) -> Pair:
    if exponent != 2:
        raise NotImplementedError(f"complex numbers to the power {exponent}")
    return _multiplied(a, a)


def _einsum(equation: str, operands: Sequence[Any], **_: Any) -> Pair:
    first, second = operands
    return _bilinear(lambda a, b: torch.einsum(equation, [a, b]))(first, second)


def _linear(x: Any, weight: Any, bias: Any = None) -> Pair:
    product = _bilinear(torch.nn.functional.linear)(x, weight)
    return product if bias is None else _added(product, bias)


def _chosen(condition: Tensor, a: Any, b: Any) -> Pair:
    first, second = pair_of(a), pair_of(b)
    return Pair(
        torch.where(condition, first.real, second.real),
        torch.where(condition, first.imag, second.imag),
    )


def _same(a: Any, *_: Any, **__: Any) -> Pair:
    return pair_of(a)


_OPERATORS: MappingProxyType[Any, Callable[..., Any]] = MappingProxyType(
    {
        _ATEN.complex.default: Pair,
        _ATEN.view_as_complex.default: lambda x: Pair(x[..., 0], x[..., 1]),
        _ATEN.view_as_real.default: lambda a: torch.stack((a.real, a.imag), -1),
        _ATEN.real.default: lambda a: a.real,
        _ATEN.imag.default: lambda a: a.imag,
        _ATEN.abs.default: _absolute,
        _ATEN.angle.default: lambda a: torch.atan2(a.imag, a.real),
        _ATEN.polar.default: _polar,
        _ATEN.exp.default: _exponential,
        _ATEN.sgn.default: _sign,
        _ATEN.square.default: lambda a: _multiplied(a, a),
        _ATEN.pow.Tensor_Scalar: _power,
        _ATEN.reciprocal.default: lambda a: _divided(1.0, a),
        _ATEN.add.Tensor: _added,
        _ATEN.sub.Tensor: _subtracted,
        _ATEN.mul.Tensor: _multiplied,
        _ATEN.div.Tensor: _divided,
        _ATEN.matmul.default: _bilinear(torch.matmul),
        _ATEN.mm.default: _bilinear(torch.mm),
        _ATEN.bmm.default: _bilinear(torch.bmm),
        _ATEN.einsum.default: _einsum,
        _ATEN.linear.default: _linear,
        _ATEN.where.self: _chosen,
        _ATEN._conj.default: lambda a: Pair(a.real, -a.imag),
        _ATEN.conj.default: lambda a: Pair(a.real, -a.imag),
        _ATEN.conj_physical.default: lambda a: Pair(a.real, -a.imag),
        _ATEN.resolve_conj.default: _same,
        _ATEN.resolve_neg.default: _same,
        _ATEN.to.dtype: _same,
        _ATEN.to.dtype_layout: _same,
        _ATEN._to_copy.default: _same,
        _ATEN._assert_tensor_metadata.default: lambda *_, **__: None,
    }
)
"""Operator -> function of pairs."""

_BOTH = frozenset(
    (
        *(_ATEN.alias.default, _ATEN.clone.default, _ATEN.contiguous.default),
        *(_ATEN.detach.default, _ATEN.neg.default, _ATEN.cat.default, _ATEN.stack.default),
        *(_ATEN.slice.Tensor, _ATEN.select.int, _ATEN.narrow.default, _ATEN.view.default),
        *(_ATEN.reshape.default, _ATEN.permute.default, _ATEN.transpose.int, _ATEN.t.default),
        *(_ATEN.unsqueeze.default, _ATEN.squeeze.dim, _ATEN.squeeze.default, _ATEN.squeeze.dims),
        *(_ATEN.expand.default, _ATEN.repeat.default, _ATEN.roll.default, _ATEN.flip.default),
        *(_ATEN.flatten.using_ints, _ATEN.unflatten.int, _ATEN.movedim.int, _ATEN.numpy_T.default),
        *(_ATEN.chunk.default, _ATEN.split.Tensor, _ATEN.split_with_sizes.default),
        *(_ATEN.unbind.int, _ATEN.fft_fftshift.default, _ATEN.fft_ifftshift.default),
        *(_ATEN.sum.default, _ATEN.sum.dim_IntList, _ATEN.mean.default, _ATEN.mean.dim),
        *(_ATEN.slice_scatter.default, _ATEN.select_scatter.default, _ATEN.index_select.default),
        *(_ATEN.constant_pad_nd.default, _ATEN.pad.default, _ATEN.avg_pool2d.default),
        *(_ATEN.cumsum.default, _ATEN.zeros_like.default),
    )
)
"""Operators that do the same to the real and the imaginary part."""
