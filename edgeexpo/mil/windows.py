"""MIL's convolutions and pooling operators in torch, with MIL's padding rules."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.mil.values import (
    Arguments,
    MilOperator,
    numbers,
    pad_last,
    python_number,
    real_tensor,
)


def _paddings(a: Arguments, x: torch.Tensor, kernel: list[int], strides: list[int]) -> list[int]:
    """Return the padding of every spatial axis as ``[begin, end, begin, end, ...]``."""
    kind = a.get("pad_type", "valid")
    dilations = numbers(a.get("dilations")) or [1] * len(kernel)
    if kind == "valid":
        return [0] * (2 * len(kernel))
    if kind == "custom":
        return numbers(a["pad"])
    result = []
    for axis, size in enumerate(kernel):
        length = x.shape[2 + axis]
        reach = (-(-length // strides[axis]) - 1) * strides[axis] + (size - 1) * dilations[axis] + 1
        total = max(0, reach - length)
        low = total - total // 2 if kind == "same_lower" else total // 2
        result += [low, total - low]
    return result


def _conv(a: Arguments) -> torch.Tensor:
    x, weight = real_tensor(a["x"]), real_tensor(a["weight"])
    spatial = weight.dim() - 2
    strides = numbers(a.get("strides")) or [1] * spatial
    dilations = numbers(a.get("dilations")) or [1] * spatial
    padding = _paddings(a, x, list(weight.shape[2:]), strides)
    symmetric = padding[::2] == padding[1::2]
    if not symmetric:
        x = pad_last(x, padding)
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    result: torch.Tensor = function(
        x,
        weight,
        None if a.get("bias") is None else real_tensor(a["bias"]),
        strides,
        padding[::2] if symmetric else 0,
        dilations,
        int(python_number(a.get("groups", 1))),
    )
    return result


def _conv_transpose(a: Arguments) -> torch.Tensor:
    x, weight = real_tensor(a["x"]), real_tensor(a["weight"])
    spatial = weight.dim() - 2
    strides = numbers(a.get("strides")) or [1] * spatial
    dilations = numbers(a.get("dilations")) or [1] * spatial
    kind = a.get("pad_type", "valid")
    if kind not in ("valid", "custom"):
        raise ValueError(f"pad_type {kind!r} is not interpreted")
    padding = numbers(a["pad"]) if kind == "custom" else [0] * (2 * spatial)
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[spatial]
    y = function(x, weight, None, strides, 0, 0, int(python_number(a.get("groups", 1))), dilations)
    wanted = numbers(a.get("output_shape"))[2:]
    for axis in range(spatial):
        full = y.shape[2 + axis]
        size = wanted[axis] if wanted else full - padding[2 * axis] - padding[2 * axis + 1]
        missing = padding[2 * axis] + size - full
        if missing > 0:
            shape = list(y.shape)
            shape[2 + axis] = missing
            y = torch.cat([y, y.new_zeros(shape)], 2 + axis)
        y = y.narrow(2 + axis, padding[2 * axis], size)
    if a.get("bias") is not None:
        y = y + real_tensor(a["bias"]).reshape(1, -1, *[1] * spatial)
    return y


def _pool(a: Arguments, average: bool) -> torch.Tensor:
    x, kernel = real_tensor(a["x"]), numbers(a["kernel_sizes"])
    strides = numbers(a.get("strides")) or [1] * len(kernel)
    padding = _paddings(a, x, kernel, strides)
    if python_number(a.get("ceil_mode", False)):
        for axis, size in enumerate(kernel):
            length = x.shape[2 + axis] + padding[2 * axis] + padding[2 * axis + 1]
            steps = -(-(length - size) // strides[axis]) + 1
            if (steps - 1) * strides[axis] >= x.shape[2 + axis] + padding[2 * axis]:
                steps -= 1
            padding[2 * axis + 1] += max(0, (steps - 1) * strides[axis] + size - length)
    maxima = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    means = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(kernel)]
    if not average:
        return maxima(pad_last(x, padding, float("-inf")), kernel, strides)
    result = means(pad_last(x, padding), kernel, strides)
    if python_number(a.get("exclude_padding_from_average", False)):
        result = result / means(pad_last(torch.ones_like(x), padding), kernel, strides)
    return result


def _l2_pool(a: Arguments) -> torch.Tensor:
    count = float(np.prod(numbers(a["kernel_sizes"])))
    squares = {**a, "x": real_tensor(a["x"]).square(), "exclude_padding_from_average": False}
    return (_pool(squares, average=True) * count).sqrt()


WINDOWS: dict[str, MilOperator] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": lambda a: _pool(a, average=False),
    "avg_pool": lambda a: _pool(a, average=True),
    "l2_pool": _l2_pool,
}
"""Operators of this module by MIL operator type."""
