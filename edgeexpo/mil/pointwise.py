"""MIL's element-by-element operators in torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from edgeexpo.mil.values import (
    Arguments,
    MilOperator,
    is_whole,
    numbers,
    python_number,
    real_tensor,
)

BinaryFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""An elementwise function of two tensors, which are broadcast."""


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> MilOperator:
    return lambda a: function(real_tensor(a["x"]))


def _binary(function: BinaryFunction) -> MilOperator:
    """Return a MIL operator that applies ``function`` to ``x`` and ``y``.

    Two integers give an integer, because programs compute tensor sizes with these operators too.
    All other arguments are converted to float32.
    """

    def run(a: Arguments) -> torch.Tensor:
        x, y = a["x"], a["y"]
        if is_whole(x) and is_whole(y):
            return function(torch.as_tensor(x), torch.as_tensor(y))
        return function(real_tensor(x), real_tensor(y))

    return run


def _logical(function: BinaryFunction) -> MilOperator:
    return lambda a: function(torch.as_tensor(a["x"]).bool(), torch.as_tensor(a["y"]).bool())


def _by_channel(value: object, x: torch.Tensor) -> torch.Tensor:
    return real_tensor(value).reshape(-1, *[1] * (x.dim() - 2))


def _prelu(a: Arguments) -> torch.Tensor:
    x = real_tensor(a["x"])
    return torch.where(x > 0, x, x * _by_channel(a["alpha"], x))


def _softplus_parametric(a: Arguments) -> torch.Tensor:
    x = real_tensor(a["x"])
    return _by_channel(a["alpha"], x) * F.softplus(_by_channel(a["beta"], x) * x, threshold=80)


def _clamped_relu(a: Arguments) -> torch.Tensor:
    return F.leaky_relu(real_tensor(a["x"]), python_number(a["alpha"])).clamp_(
        max=python_number(a["beta"])
    )


def _thresholded_relu(a: Arguments) -> torch.Tensor:
    x = real_tensor(a["x"])
    return torch.where(x >= python_number(a["alpha"]), x, torch.zeros_like(x))


def _select(a: Arguments) -> torch.Tensor:
    condition, x, y = torch.as_tensor(a["cond"]).bool(), a["a"], a["b"]
    if is_whole(x) and is_whole(y):
        return torch.where(condition, torch.as_tensor(x), torch.as_tensor(y))
    return torch.where(condition, real_tensor(x), real_tensor(y))


def _fill(a: Arguments) -> torch.Tensor:
    return torch.full(numbers(a["shape"]), python_number(a.get("value", 0.0)))


def _fill_like(a: Arguments) -> torch.Tensor:
    return torch.full(tuple(a["ref_tensor"].shape), python_number(a.get("value", 0.0)))


GELU: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "EXACT": F.gelu,
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}
"""Forms of GELU by MIL's ``mode``."""

_CASTS = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "int32": torch.int32,
    "int16": torch.int16,
    "uint16": torch.int32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}

_UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "cos": torch.cos,
    "sin": torch.sin,
    "tan": torch.tan,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "cosh": torch.cosh,
    "sinh": torch.sinh,
}

_BINARY: dict[str, BinaryFunction] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "equal": torch.eq,
    "not_equal": torch.ne,
}

_LOGICAL: dict[str, BinaryFunction] = {
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}

POINTWISE: dict[str, MilOperator] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    **{name: _logical(function) for name, function in _LOGICAL.items()},
    "logical_not": lambda a: ~torch.as_tensor(a["x"]).bool(),
    "real_div": lambda a: real_tensor(a["x"]) / real_tensor(a["y"]),
    "identity": lambda a: a["x"],
    "leaky_relu": lambda a: F.leaky_relu(real_tensor(a["x"]), python_number(a["alpha"])),
    "elu": lambda a: F.elu(real_tensor(a["x"]), python_number(a["alpha"])),
    "prelu": _prelu,
    "clamped_relu": _clamped_relu,
    "thresholded_relu": _thresholded_relu,
    "softplus_parametric": _softplus_parametric,
    "linear_activation": lambda a: (
        real_tensor(a["x"]) * python_number(a["alpha"]) + python_number(a.get("beta", 0.0))
    ),
    "scaled_tanh": lambda a: (
        torch.tanh(real_tensor(a["x"]) * python_number(a["beta"])) * python_number(a["alpha"])
    ),
    "sigmoid_hard": lambda a: (
        real_tensor(a["x"]) * python_number(a["alpha"]) + python_number(a["beta"])
    ).clamp_(0, 1),
    "threshold": lambda a: real_tensor(a["x"]).clamp(min=python_number(a["alpha"])),
    "clip": lambda a: real_tensor(a["x"]).clamp(
        python_number(a["alpha"]), python_number(a["beta"])
    ),
    "gelu": lambda a: GELU[a["mode"]](real_tensor(a["x"])),
    "rsqrt": lambda a: torch.rsqrt(real_tensor(a["x"]) + python_number(a["epsilon"])),
    "inverse": lambda a: 1 / (real_tensor(a["x"]) + python_number(a["epsilon"])),
    "log": lambda a: torch.log(real_tensor(a["x"]) + python_number(a["epsilon"])),
    "select": _select,
    "cast": lambda a: torch.as_tensor(a["x"]).to(_CASTS[a["dtype"]]),
    "fill": _fill,
    "fill_like": _fill_like,
}
"""Operators of this module by MIL operator type."""
