"""MIL's integer activations in torch; integers are held as float32 numbers."""

from __future__ import annotations

from typing import Any

import torch

from edgeexpo.parity.mil_values import Arguments, Operator, along, real


def _quantize(a: Arguments, x: torch.Tensor) -> torch.Tensor:
    low, high = (-128, 127) if a["output_dtype"] == "int8" else (0, 255)
    y = x.div_(along(a["scale"], a.get("axis"), x)).round_()
    if a.get("zero_point") is not None:
        y += along(a["zero_point"], a.get("axis"), x)
    return y.clamp_(low, high)


def _dequantize(a: Arguments, x: torch.Tensor) -> torch.Tensor:
    if a.get("zero_point") is not None:
        x.sub_(along(a["zero_point"], a.get("axis"), x))
    return x.mul_(along(a["scale"], a.get("axis"), x))


def _copied(value: Any) -> torch.Tensor:
    return real(value).clone(memory_format=torch.preserve_format)


INTEGERS: dict[str, Operator] = {
    "quantize": lambda a: _quantize(a, _copied(a["input"])),
    "dequantize": lambda a: _dequantize(a, _copied(a["input"])),
}

INTEGERS_IN_PLACE: dict[str, Operator] = {
    "quantize": lambda a: _quantize(a, real(a["input"])),
    "dequantize": lambda a: _dequantize(a, real(a["input"])),
}
"""The same, written over an input that nobody reads afterwards."""
