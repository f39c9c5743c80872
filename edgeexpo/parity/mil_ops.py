"""MIL operators in torch: ``{operator type: function of its arguments}``.

Definitions follow Apple's MIL operator reference for iOS 15 to 18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.parity.mil_integers import INTEGERS, INTEGERS_IN_PLACE
from edgeexpo.parity.mil_resize import RESIZES
from edgeexpo.parity.mil_values import Arguments, Operator, flags, number, numbers, pad_last, real
from edgeexpo.parity.mil_windows import WINDOWS

_SELECTING = """
relu maximum minimum max_pool reduce_max reduce_min identity quantize
concat stack split reshape transpose squeeze expand_dims tile pad
slice_by_index slice_by_size crop pixel_shuffle pixel_unshuffle
"""
ROUNDING_KEPT = frozenset(_SELECTING.split())
"""Operators that only select among their inputs: fp16 in, fp16 out, no rounding of their own."""

_SHARING = """
identity cast reshape transpose squeeze expand_dims split slice_by_index slice_by_size crop
concat stack tile pad pixel_shuffle pixel_unshuffle upsample_nearest_neighbor
resize_nearest_neighbor
"""
SHARING = frozenset(_SHARING.split())
"""Operators whose result may be a view of their input."""


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Operator:
    return lambda a: function(real(a["x"]))


def _binary(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Operator:
    return lambda a: function(real(a["x"]), real(a["y"]))


def _reduce(function: Callable[[torch.Tensor, list[int], bool], torch.Tensor]) -> Operator:
    def run(a: Arguments) -> torch.Tensor:
        x = real(a["x"])
        axes = numbers(a.get("axes")) or list(range(x.dim()))
        return function(x, axes, bool(number(a.get("keep_dims", False))))

    return run


def _slice_by_index(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    begin, end = numbers(a["begin"]), numbers(a["end"])
    stride = numbers(a.get("stride")) or [1] * x.dim()
    masks = [flags(a.get(key), x.dim()) for key in ("begin_mask", "end_mask", "squeeze_mask")]
    parts: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        if masks[2][axis]:
            parts.append(first)
            continue
        low = None if masks[0][axis] else first
        high = None if masks[1][axis] else last
        parts.append(slice(low, high, step))
    if min(stride) > 0:
        return x[tuple(parts)]
    return torch.from_numpy(np.ascontiguousarray(x.numpy()[tuple(parts)]))


def _crop(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    (top, bottom), (left, right) = numbers(a["crop_height"]), numbers(a["crop_width"])
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _split(a: Arguments) -> list[torch.Tensor]:
    axis = int(number(a["axis"]))
    if a.get("split_sizes") is not None:
        return list(a["x"].split(numbers(a["split_sizes"]), axis))
    return list(a["x"].split(a["x"].shape[axis] // int(number(a["num_splits"])), axis))


def _expand_dims(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    axes = numbers(a["axes"])
    for axis in sorted(i % (x.dim() + len(axes)) for i in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    axes = numbers(a.get("axes"))
    return x.squeeze(tuple(axes)) if axes else x.squeeze()


def _normalize(a: Arguments, function: Callable[..., torch.Tensor]) -> torch.Tensor:
    gamma, beta = (None if a.get(k) is None else real(a[k]) for k in ("gamma", "beta"))
    return function(real(a["x"]), gamma, beta, number(a["epsilon"]))


def _layer_norm(a: Arguments) -> torch.Tensor:
    x, axes = real(a["x"]), numbers(a["axes"])
    centred = x - x.mean(axes, keepdim=True)
    y = centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + number(a["epsilon"]))
    y = y if a.get("gamma") is None else y * real(a["gamma"])
    return y if a.get("beta") is None else y + real(a["beta"])


def _matmul(a: Arguments) -> torch.Tensor:
    x, y = real(a["x"]), real(a["y"])
    x = x.mT if number(a.get("transpose_x", False)) else x
    y = y.mT if number(a.get("transpose_y", False)) else y
    return x @ y


def _pad(a: Arguments) -> torch.Tensor:
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "replicate"}
    value = number(a.get("constant_val", 0.0))
    return pad_last(real(a["x"]), numbers(a["pad"]), value, modes[a.get("mode", "constant")])


GELU: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "EXACT": F.gelu,
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}

_CASTS = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}

OPERATORS: dict[str, Operator] = {
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.div),
    "floor_div": _binary(torch.floor_divide),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "relu": _unary(F.relu),
    "relu6": _unary(F.relu6),
    "sigmoid": _unary(torch.sigmoid),
    "tanh": _unary(torch.tanh),
    "silu": _unary(F.silu),
    "softplus": _unary(F.softplus),
    "softsign": _unary(F.softsign),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "abs": _unary(torch.abs),
    "sign": _unary(torch.sign),
    "floor": _unary(torch.floor),
    "ceil": _unary(torch.ceil),
    "round": _unary(torch.round),
    "cos": _unary(torch.cos),
    "sin": _unary(torch.sin),
    "identity": lambda a: a["x"],
    "leaky_relu": lambda a: F.leaky_relu(real(a["x"]), number(a["alpha"])),
    "elu": lambda a: F.elu(real(a["x"]), number(a["alpha"])),
    "prelu": lambda a: F.prelu(real(a["x"]), real(a["alpha"])),
    "sigmoid_hard": lambda a: (real(a["x"]) * number(a["alpha"]) + number(a["beta"])).clamp_(0, 1),
    "clip": lambda a: real(a["x"]).clamp(number(a["alpha"]), number(a["beta"])),
    "gelu": lambda a: GELU[a["mode"]](real(a["x"])),
    "rsqrt": lambda a: torch.rsqrt(real(a["x"]) + number(a["epsilon"])),
    "inverse": lambda a: 1 / (real(a["x"]) + number(a["epsilon"])),
    "log": lambda a: torch.log(real(a["x"]) + number(a["epsilon"])),
    "softmax": lambda a: torch.softmax(real(a["x"]), int(number(a["axis"]))),
    "select": lambda a: torch.where(a["cond"].bool(), real(a["a"]), real(a["b"])),
    "cast": lambda a: a["x"].to(_CASTS[a["dtype"]]),
    "batch_norm": lambda a: _normalize(
        a,
        lambda x, gamma, beta, eps: F.batch_norm(
            x, real(a["mean"]), real(a["variance"]), gamma, beta, eps=eps
        ),
    ),
    "instance_norm": lambda a: _normalize(
        a, lambda x, gamma, beta, eps: F.instance_norm(x, weight=gamma, bias=beta, eps=eps)
    ),
    "layer_norm": _layer_norm,
    "linear": lambda a: F.linear(
        real(a["x"]), real(a["weight"]), None if a.get("bias") is None else real(a["bias"])
    ),
    "matmul": _matmul,
    "reduce_mean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "reduce_sum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "reduce_sum_square": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "concat": lambda a: torch.cat(list(a["values"]), int(number(a["axis"]))),
    "stack": lambda a: torch.stack(list(a["values"]), int(number(a["axis"]))),
    "reshape": lambda a: a["x"].reshape(numbers(a["shape"])),
    "transpose": lambda a: a["x"].permute(numbers(a["perm"])),
    "tile": lambda a: a["x"].repeat(numbers(a["reps"])),
    "shape": lambda a: torch.tensor(a["x"].shape, dtype=torch.int32),
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "split": _split,
    "slice_by_index": _slice_by_index,
    "slice_by_size": lambda a: a["x"][
        tuple(
            slice(b, None if s == -1 else b + s)
            for b, s in zip(numbers(a["begin"]), numbers(a["size"]), strict=True)
        )
    ],
    "crop": _crop,
    "pad": _pad,
    "pixel_shuffle": lambda a: F.pixel_shuffle(a["x"], int(number(a["upscale_factor"]))),
    "pixel_unshuffle": lambda a: F.pixel_unshuffle(a["x"], int(number(a["downscale_factor"]))),
    **WINDOWS,
    **INTEGERS,
    **RESIZES,
}

IN_PLACE: dict[str, Operator] = {
    "relu": lambda a: real(a["x"]).relu_(),
    "clip": lambda a: real(a["x"]).clamp_(number(a["alpha"]), number(a["beta"])),
    **INTEGERS_IN_PLACE,
}
"""Operators that may write over their first input once nobody else reads it."""
