"""MIL's operators in torch for matrix products, normalisations, reductions and sorting."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from edgeexpo.mil.values import Arguments, MilOperator, numbers, python_number, real_tensor


def _reduce(function: Callable[[torch.Tensor, list[int], bool], torch.Tensor]) -> MilOperator:
    def run(a: Arguments) -> torch.Tensor:
        x = real_tensor(a["x"])
        axes = numbers(a.get("axes")) or list(range(x.dim()))
        return function(x, axes, bool(python_number(a.get("keep_dims", False))))

    return run


def _product(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    for axis in sorted((i % x.dim() for i in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _place(function: Callable[..., torch.Tensor]) -> MilOperator:
    """Return a MIL operator that finds the index of an axis's largest or smallest value."""

    def run(a: Arguments) -> torch.Tensor:
        keep = bool(python_number(a.get("keep_dims", False)))
        return function(real_tensor(a["x"]), int(python_number(a.get("axis", -1))), keep).int()

    return run


def _topk(a: Arguments) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    x, axis = real_tensor(a["x"]), int(python_number(a.get("axis", -1)))
    count = int(python_number(a.get("k", 1)))
    count = x.shape[axis] if count == -1 else count
    descending = not python_number(a.get("ascending", False))
    values, places = x.sort(dim=axis, descending=descending, stable=True)
    values, places = values.narrow(axis, 0, count), places.narrow(axis, 0, count)
    return (values, places.int()) if python_number(a.get("return_indices", True)) else values


def _argsort(a: Arguments) -> torch.Tensor:
    descending = not python_number(a.get("ascending", False))
    axis = int(python_number(a.get("axis", -1)))
    return real_tensor(a["x"]).argsort(dim=axis, descending=descending, stable=True).int()


def _cumsum(a: Arguments) -> torch.Tensor:
    x, axis = real_tensor(a["x"]), int(python_number(a.get("axis", 0)))
    reverse = bool(python_number(a.get("reverse", False)))
    x = x.flip(axis) if reverse else x
    y = x.cumsum(axis)
    y = y - x if python_number(a.get("exclusive", False)) else y
    return y.flip(axis) if reverse else y


def _normalize(a: Arguments, function: Callable[..., torch.Tensor]) -> torch.Tensor:
    gamma, beta = (None if a.get(k) is None else real_tensor(a[k]) for k in ("gamma", "beta"))
    return function(real_tensor(a["x"]), gamma, beta, python_number(a["epsilon"]))


def _batch_norm(a: Arguments) -> torch.Tensor:
    mean, variance = real_tensor(a["mean"]), real_tensor(a["variance"])
    return _normalize(
        a, lambda x, gamma, beta, eps: F.batch_norm(x, mean, variance, gamma, beta, eps=eps)
    )


def _instance_norm(a: Arguments) -> torch.Tensor:
    return _normalize(
        a, lambda x, gamma, beta, eps: F.instance_norm(x, weight=gamma, bias=beta, eps=eps)
    )


def _layer_norm(a: Arguments) -> torch.Tensor:
    x, axes = real_tensor(a["x"]), sorted(i % a["x"].dim() for i in numbers(a["axes"]))
    gamma, beta = (None if a.get(k) is None else real_tensor(a[k]) for k in ("gamma", "beta"))
    epsilon = python_number(a["epsilon"])
    if axes == list(range(axes[0], x.dim())):
        return F.layer_norm(x, x.shape[axes[0] :], gamma, beta, epsilon)
    centred = x - x.mean(axes, keepdim=True)
    y = centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + epsilon)
    shape = [size if i in axes else 1 for i, size in enumerate(x.shape)]
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def _l2_norm(a: Arguments) -> torch.Tensor:
    x = real_tensor(a["x"])
    return x / torch.sqrt(x.square().sum((-3, -2, -1), keepdim=True) + python_number(a["epsilon"]))


def _matmul(a: Arguments) -> torch.Tensor:
    x, y = real_tensor(a["x"]), real_tensor(a["y"])
    x = x.mT if python_number(a.get("transpose_x", False)) else x
    y = y.mT if python_number(a.get("transpose_y", False)) else y
    return x @ y


def _linear(a: Arguments) -> torch.Tensor:
    bias = None if a.get("bias") is None else real_tensor(a["bias"])
    return F.linear(real_tensor(a["x"]), real_tensor(a["weight"]), bias)


def _attention(a: Arguments) -> torch.Tensor:
    mask = a.get("attn_mask")
    if mask is not None and mask.dtype != torch.bool:
        mask = real_tensor(mask)
    query, key, value = (real_tensor(a[name]) for name in ("query", "key", "value"))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


ALGEBRA: dict[str, MilOperator] = {
    "softmax": lambda a: torch.softmax(real_tensor(a["x"]), int(python_number(a["axis"]))),
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "l2_norm": _l2_norm,
    "local_response_norm": lambda a: F.local_response_norm(
        real_tensor(a["x"]), *(python_number(a[name]) for name in ("size", "alpha", "beta", "k"))
    ),
    "linear": _linear,
    "matmul": _matmul,
    "einsum": lambda a: torch.einsum(a["equation"], *map(real_tensor, a["values"])),
    "scaled_dot_product_attention": _attention,
    "reduce_mean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "reduce_sum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_prod": _reduce(_product),
    "reduce_l1_norm": _reduce(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "reduce_sum_square": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "reduce_log_sum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "reduce_log_sum_exp": _reduce(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "reduce_argmax": _place(torch.argmax),
    "reduce_argmin": _place(torch.argmin),
    "topk": _topk,
    "argsort": _argsort,
    "cumsum": _cumsum,
}
"""Operators of this module by MIL operator type."""
