"""MIL's resizing operators in torch, with the sampling grids that MIL defines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.parity.mil_values import Arguments, Operator, number

Grid = Callable[[torch.Tensor, int, int], torch.Tensor]
"""(output index, input length, output length) -> input coordinate."""


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


SAMPLING: dict[str, Grid] = {
    "STRICT_ALIGN_CORNERS": _aligned,
    "ALIGN_CORNERS": _centred,
    "OFFSET_CORNERS": _offset,
    "UNALIGN_CORNERS": _half_pixel,
    "DEFAULT": _corner,
}


def bilinear(x: torch.Tensor, size: tuple[int, int], grid: Grid) -> torch.Tensor:
    """Resize NCHW to ``size`` (height, width), reading at the coordinates that ``grid`` gives."""
    for axis, wanted in zip((2, 3), size, strict=True):
        length = x.shape[axis]
        at = grid(torch.arange(wanted, dtype=torch.float64), length, wanted).clamp(0, length - 1)
        low = at.floor().long()
        high = (low + 1).clamp(max=length - 1)
        part = (at - low).float().reshape([-1 if i == axis else 1 for i in range(4)])
        x = x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
    return x


def _scaled(a: Arguments) -> tuple[int, int]:
    height, width = (
        int(np.floor(side * float(number(a[f"scale_factor_{name}"])) + 1e-4))
        for side, name in zip(a["x"].shape[2:], ("height", "width"), strict=True)
    )
    return height, width


def _upsample_bilinear(a: Arguments) -> torch.Tensor:
    if number(a.get("align_corners", True)):
        grid: Grid = _aligned
    else:
        grid = _half_pixel if number(a.get("half_pixel_centers", True)) else _corner
    return bilinear(a["x"].float(), _scaled(a), grid)


def _target(a: Arguments) -> tuple[int, int]:
    return int(number(a["target_size_height"])), int(number(a["target_size_width"]))


RESIZES: dict[str, Operator] = {
    "upsample_bilinear": _upsample_bilinear,
    "resize_bilinear": lambda a: bilinear(a["x"].float(), _target(a), SAMPLING[a["sampling_mode"]]),
    "upsample_nearest_neighbor": lambda a: F.interpolate(
        a["x"].float(), _scaled(a), mode="nearest"
    ),
    "resize_nearest_neighbor": lambda a: F.interpolate(a["x"].float(), _target(a), mode="nearest"),
}
