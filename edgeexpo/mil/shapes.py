"""MIL's operators in torch that move values without changing them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.mil.values import (
    Arguments,
    MilOperator,
    flags,
    numbers,
    pad_last,
    python_number,
    real_tensor,
)


def _index(a: Arguments, x: torch.Tensor) -> tuple[Any, ...]:
    """Convert ``begin``, ``end``, ``stride`` and the masks to indices and slices, one per axis."""
    stride = numbers(a.get("stride")) or [1] * x.dim()
    masks = [flags(a.get(key), x.dim()) for key in ("begin_mask", "end_mask", "squeeze_mask")]
    parts: list[Any] = []
    begin, end = numbers(a["begin"]), numbers(a["end"])
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        low = None if masks[0][axis] else first
        high = None if masks[1][axis] else last
        parts.append(first if masks[2][axis] else slice(low, high, step))
    return tuple(parts)


def _slice_by_index(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    parts = _index(a, x)
    if all(part.step > 0 for part in parts if isinstance(part, slice)):
        return x[parts]
    return torch.from_numpy(np.ascontiguousarray(x.numpy()[parts]))


def _slice_update(a: Arguments) -> torch.Tensor:
    result = a["x"].numpy().copy()
    result[_index(a, a["x"])] = a["update"].numpy()
    return torch.from_numpy(result)


def _crop(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    (top, bottom), (left, right) = numbers(a["crop_height"]), numbers(a["crop_width"])
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _split(a: Arguments) -> list[torch.Tensor]:
    axis = int(python_number(a["axis"]))
    if a.get("split_sizes") is not None:
        return list(a["x"].split(numbers(a["split_sizes"]), axis))
    return list(a["x"].split(a["x"].shape[axis] // int(python_number(a["num_splits"])), axis))


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


def _reshape(a: Arguments) -> torch.Tensor:
    """Reshape ``x``. A size of 0 keeps the length of its axis."""
    x: torch.Tensor = a["x"]
    shape = numbers(a["shape"])
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])


def _reshape_like(a: Arguments) -> torch.Tensor:
    shape: list[int] = []
    places = zip(a["ref_tensors"], a["begins"], a["ends"], a["end_masks"], strict=True)
    for tensor, begin, end, whole in places:
        high = None if python_number(whole) else int(python_number(end))
        shape += tensor.shape[int(python_number(begin)) : high]
    result: torch.Tensor = a["x"].reshape(shape)
    return result


def _concat(a: Arguments) -> torch.Tensor:
    axis = int(python_number(a["axis"]))
    values = [v if v.dim() else v.reshape(1) for v in map(torch.as_tensor, a["values"])]
    if python_number(a.get("interleave", False)):
        return torch.stack(values, axis % values[0].dim() + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


def _pad(a: Arguments) -> torch.Tensor:
    x, mode = a["x"], a.get("mode", "constant")
    value = python_number(a.get("constant_val", 0.0))
    return pad_last(x if mode == "constant" else real_tensor(x), numbers(a["pad"]), value, mode)


def _blocks(x: torch.Tensor, block: int) -> torch.Tensor:
    """Move every block of pixels to the channel axis, in TensorFlow's ``space_to_depth`` order.

    The pixel's place in its block is the slower index of the new channels.
    """
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


def _depth_to_space(a: Arguments) -> torch.Tensor:
    x, block = a["x"], int(python_number(a["block_size"]))
    n, c, h, w = x.shape
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    result: torch.Tensor = parts.reshape(n, c // block**2, h * block, w * block)
    return result


def _space_to_batch(a: Arguments) -> torch.Tensor:
    (high, wide), (top, bottom, left, right) = numbers(a["block_shape"]), numbers(a["paddings"])
    x = F.pad(a["x"], (left, right, top, bottom))
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // high, high, w // wide, wide).permute(3, 5, 0, 1, 2, 4)
    return parts.reshape(high * wide * n, c, h // high, w // wide)


def _batch_to_space(a: Arguments) -> torch.Tensor:
    (high, wide), (top, bottom, left, right) = numbers(a["block_shape"]), numbers(a["crops"])
    n, c, h, w = a["x"].shape
    parts = a["x"].reshape(high, wide, n // (high * wide), c, h, w).permute(2, 3, 4, 0, 5, 1)
    whole: torch.Tensor = parts.reshape(-1, c, h * high, w * wide)
    return whole[..., top : h * high - bottom, left : w * wide - right]


def _sliding_windows(a: Arguments) -> torch.Tensor:
    axis, size = int(python_number(a["axis"])) % a["x"].dim(), int(python_number(a["size"]))
    found: torch.Tensor = a["x"].unfold(axis, size, int(python_number(a.get("stride", 1))))
    return found.movedim(-1, axis + 1)


def _band_part(a: Arguments) -> torch.Tensor:
    x, lower, upper = a["x"], int(python_number(a["lower"])), int(python_number(a["upper"]))
    rows = torch.arange(x.shape[-2])[:, None] - torch.arange(x.shape[-1])
    inside = ((rows <= lower) | (lower < 0)) & ((-rows <= upper) | (upper < 0))
    result: torch.Tensor = x * inside
    return result


def _one_hot(a: Arguments) -> torch.Tensor:
    size, axis = int(python_number(a["one_hot_vector_size"])), int(python_number(a.get("axis", -1)))
    places = torch.as_tensor(a["indices"]).long()
    on = (places[..., None] == torch.arange(size)).movedim(-1, axis)
    return torch.where(
        on, python_number(a.get("on_value", 1)), python_number(a.get("off_value", 0))
    )


def _range(a: Arguments) -> torch.Tensor:
    start, end, step = (python_number(a[key]) for key in ("start", "end", "step"))
    return torch.arange(start, end, step)


def _flatten(a: Arguments) -> torch.Tensor:
    lead = functools.reduce(lambda p, n: p * n, a["x"].shape[: int(python_number(a["axis"]))], 1)
    result: torch.Tensor = a["x"].reshape(lead, -1)
    return result


SHAPES: dict[str, MilOperator] = {
    "concat": _concat,
    "stack": lambda a: torch.stack(list(a["values"]), int(python_number(a["axis"]))),
    "reshape": _reshape,
    "reshape_like": _reshape_like,
    "flatten2d": _flatten,
    "transpose": lambda a: a["x"].permute(numbers(a["perm"])),
    "reverse": lambda a: a["x"].flip(numbers(a.get("axes")) or list(range(a["x"].dim()))),
    "tile": lambda a: a["x"].repeat(numbers(a["reps"])),
    "shape": lambda a: torch.tensor(a["x"].shape, dtype=torch.int32),
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "split": _split,
    "slice_by_index": _slice_by_index,
    "slice_update": _slice_update,
    "slice_by_size": lambda a: a["x"][
        tuple(
            slice(b, None if s == -1 else b + s)
            for b, s in zip(numbers(a["begin"]), numbers(a["size"]), strict=True)
        )
    ],
    "crop": _crop,
    "pad": _pad,
    "pixel_shuffle": lambda a: F.pixel_shuffle(a["x"], int(python_number(a["upscale_factor"]))),
    "pixel_unshuffle": lambda a: F.pixel_unshuffle(
        a["x"], int(python_number(a["downscale_factor"]))
    ),
    "space_to_depth": lambda a: _blocks(a["x"], int(python_number(a["block_size"]))),
    "depth_to_space": _depth_to_space,
    "space_to_batch": _space_to_batch,
    "batch_to_space": _batch_to_space,
    "sliding_windows": _sliding_windows,
    "band_part": _band_part,
    "one_hot": _one_hot,
    "range_1d": _range,
}
"""Operators of this module by MIL operator type."""
