"""MIL's ``quantize`` and ``dequantize`` in torch. INT8 codes are held as float32 numbers."""

from __future__ import annotations

import torch

from edgeexpo.mil.values import Arguments, MilOperator, along, real_tensor


def _quantize(a: Arguments, own: bool) -> torch.Tensor:
    x = real_tensor(a["input"])
    low, high = (-128, 127) if a["output_dtype"] == "int8" else (0, 255)
    scale = along(a["scale"], a.get("axis"), x)
    y = (x.div_(scale) if own else x / scale).round_()
    if a.get("zero_point") is not None:
        y += along(a["zero_point"], a.get("axis"), x)
    return y.clamp_(low, high)


def _dequantize(a: Arguments, own: bool) -> torch.Tensor:
    x = real_tensor(a["input"])
    scale = along(a["scale"], a.get("axis"), x)
    if a.get("zero_point") is not None:
        zero = along(a["zero_point"], a.get("axis"), x)
        return (x.sub_(zero) if own else x - zero).mul_(scale)
    return x.mul_(scale) if own else x * scale


INTEGERS: dict[str, MilOperator] = {
    "quantize": lambda a: _quantize(a, own=False),
    "dequantize": lambda a: _dequantize(a, own=False),
}
"""Operators of this module by MIL operator type."""

INTEGERS_IN_PLACE: dict[str, MilOperator] = {
    "quantize": lambda a: _quantize(a, own=True),
    "dequantize": lambda a: _dequantize(a, own=True),
}
"""In-place forms of :data:`INTEGERS`, for an input that no later operator reads."""
