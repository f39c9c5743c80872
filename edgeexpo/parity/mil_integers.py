"""MIL's integer and compressed numbers in torch; integers are held as float32 numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from edgeexpo.parity.mil_values import Arguments, Operator, number, numbers, real


def _along(value: Any, axis: Any, like: torch.Tensor) -> torch.Tensor:
    """A scale or zero point, shaped to broadcast along its axis."""
    tensor = real(value)
    if tensor.numel() == 1:
        return tensor.reshape(())
    place = int(number(axis)) % like.dim()
    return tensor.reshape([-1 if i == place else 1 for i in range(like.dim())])


def _quantize(a: Arguments, x: torch.Tensor) -> torch.Tensor:
    low, high = (-128, 127) if a["output_dtype"] == "int8" else (0, 255)
    y = x.div_(_along(a["scale"], a.get("axis"), x)).round_()
    if a.get("zero_point") is not None:
        y += _along(a["zero_point"], a.get("axis"), x)
    return y.clamp_(low, high)


def _dequantize(a: Arguments, x: torch.Tensor) -> torch.Tensor:
    if a.get("zero_point") is not None:
        x.sub_(_along(a["zero_point"], a.get("axis"), x))
    return x.mul_(_along(a["scale"], a.get("axis"), x))


def _copied(value: Any) -> torch.Tensor:
    return real(value).clone(memory_format=torch.preserve_format)


def _affine(a: Arguments) -> torch.Tensor:
    data = real(a["quantized_data"])
    zero = _along(a["zero_point"], a["axis"], data)
    return (data - zero) * _along(a["scale"], a["axis"], data)


def _blockwise(a: Arguments) -> torch.Tensor:
    data = real(a["data"])

    def expand(value: torch.Tensor) -> torch.Tensor:
        for axis in range(data.dim()):
            value = value.repeat_interleave(data.shape[axis] // value.shape[axis], axis)
        return value

    offset = 0.0 if a.get("offset") is None else expand(real(a["offset"]))
    return (data - offset) * expand(real(a["scale"]))


def _palette(a: Arguments) -> torch.Tensor:
    table = real(a["lut"])
    if a.get("shape") is not None:  # iOS 16: indices packed into bytes
        shape = numbers(a["shape"])
        width = int(np.log2(table.numel()))
        count = int(np.prod(shape))
        bits = np.unpackbits(a["indices"].numpy().astype(np.uint8), bitorder="little")
        codes = (bits[: width * count].reshape(count, width) << np.arange(width)).sum(1)
        return table.reshape(-1)[torch.from_numpy(codes)].reshape(shape)
    indices = a["indices"].long()
    if table.shape[-1] != 1:
        raise ValueError("vector palettes are not interpreted")
    grid = [
        torch.arange(size)
        .div(size // table.shape[axis], rounding_mode="floor")
        .reshape([-1 if i == axis else 1 for i in range(indices.dim())])
        for axis, size in enumerate(indices.shape)
    ]
    return table[(*grid, indices, torch.zeros((), dtype=torch.long))]


INTEGERS: dict[str, Operator] = {
    "quantize": lambda a: _quantize(a, _copied(a["input"])),
    "dequantize": lambda a: _dequantize(a, _copied(a["input"])),
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_lut_to_dense": _palette,
}

INTEGERS_IN_PLACE: dict[str, Operator] = {
    "quantize": lambda a: _quantize(a, real(a["input"])),
    "dequantize": lambda a: _dequantize(a, real(a["input"])),
}
"""The same, written over an input that nobody reads afterwards."""
