"""MIL's resizing and resampling operators in torch, with the sampling grids that MIL defines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.mil.values import Arguments, MilOperator, numbers, python_number, real_tensor

SampleGrid = Callable[[torch.Tensor, int, int], torch.Tensor]
"""A sampling grid: (output indices, input length, output length) -> input coordinates."""


def _aligned(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return index * ((length - 1) / (wanted - 1) if wanted > 1 else 0.0)


def _centred(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return _aligned(index, length, wanted) + (0.0 if wanted > 1 else (length - 1) / 2)


def _offset(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return (index + 0.5) * (max(1, length - 1) / wanted)


def _half_pixel(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return (index + 0.5) * (length / wanted) - 0.5


def _corner(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return index * (length / wanted)


SAMPLING: dict[str, SampleGrid] = {
    "STRICT_ALIGN_CORNERS": _aligned,
    "ALIGN_CORNERS": _centred,
    "OFFSET_CORNERS": _offset,
    "UNALIGN_CORNERS": _half_pixel,
    "DEFAULT": _corner,
}
"""Sampling grids by MIL's ``sampling_mode``."""


def bilinear(x: torch.Tensor, size: tuple[int, int], grid: SampleGrid) -> torch.Tensor:
    """Resize the last two axes of ``x`` to ``size`` (height, width) by linear interpolation.

    ``grid`` gives the input coordinate of every output index. Coordinates are clamped to the input.
    """
    for axis, wanted in zip((-2, -1), size, strict=True):
        length = x.shape[axis]
        at = grid(torch.arange(wanted, dtype=torch.float64), length, wanted).clamp(0, length - 1)
        low = at.floor().long()
        if torch.equal(at, low.double()):
            x = x.index_select(axis, low)
            continue
        high = (low + 1).clamp(max=length - 1)
        part = (at - low).float().reshape([-1, 1] if axis == -2 else [-1])
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, high), part)
    return x


def nearest(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize the last two axes of ``x`` to ``size`` (height, width) by nearest neighbour.

    Output index ``i`` reads input index ``floor(i * input length / output length)``.
    """
    for axis, wanted in zip((-2, -1), size, strict=True):
        x = x.index_select(axis, torch.arange(wanted) * x.shape[axis] // wanted)
    return x


def _scaled(a: Arguments) -> tuple[int, int]:
    height, width = (
        int(np.floor(side * float(python_number(a.get(f"scale_factor_{name}", 1))) + 1e-4))
        for side, name in zip(a["x"].shape[-2:], ("height", "width"), strict=True)
    )
    return height, width


def _upsample_bilinear(a: Arguments) -> torch.Tensor:
    if python_number(a.get("align_corners", True)):
        grid: SampleGrid = _aligned
    else:
        grid = _half_pixel if python_number(a.get("half_pixel_centers", True)) else _corner
    return bilinear(a["x"].float(), _scaled(a), grid)


def _target(a: Arguments) -> tuple[int, int]:
    return int(python_number(a["target_size_height"])), int(python_number(a["target_size_width"]))


def _resize(a: Arguments) -> torch.Tensor:
    """Resize the last ``resized_dims`` axes to the sizes in ``shape``. Size 0 keeps an axis."""
    x, count = a["x"], int(python_number(a["resized_dims"]))
    if count > 2:
        raise ValueError(f"{count} resized axes are not interpreted, at most 2 are")
    sizes = [1, 1, *numbers(a["shape"])[-count:]][-2:]
    height, width = (
        side if i >= 2 - count and side else x.shape[i - 2] for i, side in enumerate(sizes)
    )
    if a.get("interpolation_mode", "LINEAR") == "NEAREST_NEIGHBOR":
        return nearest(x, (height, width))
    return bilinear(real_tensor(x), (height, width), SAMPLING[a.get("sampling_mode", "DEFAULT")])


def _pixels(at: torch.Tensor, length: int, mode: str, corners: bool) -> torch.Tensor:
    """Convert the coordinates of one axis from MIL's ``coordinates_mode`` to pixels."""
    if mode == "unnormalized":
        return at
    at = (at + 1) / 2 if mode == "normalized_minus_one_to_one" else at
    return at * (length - 1) if corners else at * length - 0.5


def _folded(at: torch.Tensor, length: int, mode: str) -> torch.Tensor:
    """Move pixel coordinates beyond the borders inside, as ``padding_mode`` says."""
    if mode == "border":
        return at.clamp(0, length - 1)
    if mode == "reflection" and length > 1:
        return (length - 1) - ((at.abs() % (2 * length - 2)) - (length - 1)).abs()
    if mode == "symmetric":
        inside = length - (((at + 0.5).abs() % (2 * length)) - length).abs() - 0.5
        return inside.clamp(0, length - 1)
    return at


def _resample(a: Arguments) -> torch.Tensor:
    x, coordinates, padding = real_tensor(a["x"]), real_tensor(a["coordinates"]), a["padding_mode"]
    corners = bool(python_number(a["align_corners"]))
    axes = []
    for channel, length in ((0, x.shape[3]), (1, x.shape[2])):
        at = _pixels(coordinates[..., channel], length, a["coordinates_mode"], corners)
        axes.append(_folded(at, length, padding) * 2 / max(1, length - 1) - 1)
    value = python_number(a["padding_value"]) if padding == "constant" else 0.0
    found = F.grid_sample(
        x - value, torch.stack(axes, -1), mode=a["sampling_mode"], align_corners=True
    )
    return found + value


RESIZES: dict[str, MilOperator] = {
    "upsample_bilinear": _upsample_bilinear,
    "resize_bilinear": lambda a: bilinear(a["x"].float(), _target(a), SAMPLING[a["sampling_mode"]]),
    "upsample_nearest_neighbor": lambda a: nearest(a["x"], _scaled(a)),
    "resize_nearest_neighbor": lambda a: nearest(a["x"], _target(a)),
    "resize": _resize,
    "resample": _resample,
}
"""Operators of this module by MIL operator type."""
