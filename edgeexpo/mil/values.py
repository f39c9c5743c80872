"""MIL arguments as torch and Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

Arguments = Mapping[str, Any]
"""By MIL's own names: tensors (float32 numbers, also for fp16), strings, lists of them."""

MilOperator = Callable[[Arguments], Any]


def python_number(value: Any) -> Any:
    """A MIL scalar as a Python number."""
    return value.reshape(-1)[0].item() if isinstance(value, torch.Tensor) else value


def numbers(value: Any) -> list[int]:
    """A MIL vector of integers as a list; ``None`` as an empty one."""
    return [] if value is None else [int(v) for v in torch.as_tensor(value).reshape(-1)]


def flags(value: Any, length: int) -> list[bool]:
    """A MIL vector of booleans as a list; ``None`` as all false."""
    return [False] * length if value is None else [bool(v) for v in value.reshape(-1)]


def real_tensor(value: Any) -> torch.Tensor:
    """A MIL argument as a float32 tensor."""
    if isinstance(value, torch.Tensor):
        return value if value.dtype == torch.float32 else value.float()
    return torch.tensor(float(value))


def is_whole(value: Any) -> bool:
    """True for integers and booleans; false for real numbers."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point()
    return isinstance(value, int)


def along(value: Any, axis: Any, like: torch.Tensor) -> torch.Tensor:
    """A scale or zero point as float32, shaped to broadcast over ``like`` along ``axis``."""
    tensor = real_tensor(value)
    if tensor.numel() == 1:
        return tensor.reshape(())
    place = int(python_number(axis)) % like.dim()
    return tensor.reshape([-1 if i == place else 1 for i in range(like.dim())])


def pad_last(
    x: torch.Tensor, padding: list[int], value: float = 0.0, mode: str = "constant"
) -> torch.Tensor:
    """Pad the trailing axes; ``padding`` lists (begin, end) from the first of them on."""
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    while len(pairs) > 1 and pairs[0] == (0, 0):
        pairs = pairs[1:]
    if mode != "constant":  # torch wants every spatial axis named
        pairs = [(0, 0)] * (x.dim() - 2 - len(pairs)) + pairs
    flat = [side for pair in reversed(pairs) for side in pair]
    if mode == "constant":
        return F.pad(x, flat, mode, value)
    return F.pad(x, flat, mode)
