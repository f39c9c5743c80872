"""Conversion of MIL arguments to torch and Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

Arguments = Mapping[str, Any]
"""An operator's arguments by MIL's names: tensors, strings, and lists of them.

fp16 tensors are held as float32.
"""

MilOperator = Callable[[Arguments], Any]
"""A MIL operator in torch: its arguments -> its result, or a list or tuple of several results."""


def python_number(value: Any) -> Any:
    """Return a MIL scalar as a Python number. A value that is not a tensor is unchanged."""
    return value.reshape(-1)[0].item() if isinstance(value, torch.Tensor) else value


def numbers(value: Any) -> list[int]:
    """Return a MIL vector of integers as a list. ``None`` gives an empty list."""
    return [] if value is None else [int(v) for v in torch.as_tensor(value).reshape(-1)]


def flags(value: Any, length: int) -> list[bool]:
    """Return a MIL vector of booleans as a list. ``None`` gives ``length`` times false."""
    return [False] * length if value is None else [bool(v) for v in value.reshape(-1)]


def real_tensor(value: Any) -> torch.Tensor:
    """Return a MIL argument as a float32 tensor of the same shape, rank 0 for a number."""
    if isinstance(value, torch.Tensor):
        return value if value.dtype == torch.float32 else value.float()
    return torch.tensor(float(value))


def is_whole(value: Any) -> bool:
    """Return true for integers and booleans, false for real numbers."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point()
    return isinstance(value, int)


def along(value: Any, axis: Any, like: torch.Tensor) -> torch.Tensor:
    """Return a scale or zero point as float32, shaped to broadcast over ``like``.

    A vector runs along ``axis``. A single value becomes a tensor of rank 0.
    """
    tensor = real_tensor(value)
    if tensor.numel() == 1:
        return tensor.reshape(())
    place = int(python_number(axis)) % like.dim()
    return tensor.reshape([-1 if i == place else 1 for i in range(like.dim())])


def pad_last(
    x: torch.Tensor, padding: list[int], value: float = 0.0, mode: str = "constant"
) -> torch.Tensor:
    """Pad the last axes of ``x``.

    Args:
        x: A tensor of any rank.
        padding: ``[begin, end, begin, end, ...]``, one pair for each padded axis. The last pair
            belongs to the last axis.
        value: The number that ``"constant"`` mode fills in.
        mode: A mode of :func:`torch.nn.functional.pad`.
    """
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    while len(pairs) > 1 and pairs[0] == (0, 0):
        pairs = pairs[1:]
    if mode != "constant":  # torch's other modes need a pair for every spatial axis
        pairs = [(0, 0)] * (x.dim() - 2 - len(pairs)) + pairs
    flat = [side for pair in reversed(pairs) for side in pair]
    if mode == "constant":
        return F.pad(x, flat, mode, value)
    return F.pad(x, flat, mode)
