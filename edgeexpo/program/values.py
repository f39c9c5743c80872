"""Description of the value that a node of a program computes.

A program holds more than pictures and features: sizes, grids of coordinates, masks, vectors, single
numbers, and lists of tensors. What reads a value as features has to ask first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

CHANNEL = 1
"""Channel axis of NCHW and of NC tensors."""


def tensor_of(node: Any) -> torch.Tensor | None:
    """Return the traced tensor of a node, without data. ``None`` for a size or a list."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value if isinstance(value, torch.Tensor) else None


def tensors_of(node: Node) -> list[torch.Tensor]:
    """Return the traced tensors of a node with one or several results, empty for a size."""
    value = node.meta.get("val")
    parts = value if isinstance(value, (list, tuple)) else [value]
    return [part for part in parts if isinstance(part, torch.Tensor)]


def channels_of(value: Any) -> int | None:
    """Return the length of a traced tensor's axis 1, if that length is the same at every size.

    Returns:
        The number of channels. ``None`` for a value without a channel axis: a number, a vector, or
        a tensor whose axis 1 is as long as a side of the picture.
    """
    if not isinstance(value, torch.Tensor) or value.dim() <= CHANNEL:
        return None
    number = value.shape[CHANNEL]
    return number if isinstance(number, int) else None


def is_single(node: Any) -> bool:
    """Return true if a node's value is a float32 tensor, which is what INT8 can stand for.

    Sizes, indices, masks and tensors of other types are not.
    """
    value = tensor_of(node)
    return value is not None and value.dtype == torch.float32


def reads_only_shape(node: Node) -> bool:
    """Return true for an operator that reads a size of a tensor and none of its values."""
    return node.target in _SHAPES


_SHAPES = frozenset(
    (
        torch.ops.aten.sym_size.int,
        torch.ops.aten.sym_numel.default,
        torch.ops.aten.sym_stride.int,
    )
)
