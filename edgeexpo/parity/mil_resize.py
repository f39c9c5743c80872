"""MIL's resizing operators in torch, with the sampling grids that MIL defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Grid = Callable[[torch.Tensor, int, int], torch.Tensor]
"""(output index, input length, output length) -> input coordinate."""


def _aligned(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return index * ((length - 1) / (wanted - 1) if wanted > 1 else 0.0)


def _half_pixel(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return (index + 0.5) * (length / wanted) - 0.5


def _corner(index: torch.Tensor, length: int, wanted: int) -> torch.Tensor:
    return index * (length / wanted)


SAMPLING: dict[str, Grid] = {
    "STRICT_ALIGN_CORNERS": _aligned,
    "ALIGN_CORNERS": _aligned,
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


def _scalar(value: Any) -> Any:
    return value.reshape(-1)[0].item() if isinstance(value, torch.Tensor) else value


def _scaled(a: Mapping[str, Any]) -> tuple[int, int]:
    height, width = (
        int(np.floor(side * float(_scalar(a[f"scale_factor_{name}"])) + 1e-4))
        for side, name in zip(a["x"].shape[2:], ("height", "width"), strict=True)
    )
    return height, width


def _upsample_bilinear(a: Mapping[str, Any]) -> torch.Tensor:
    if _scalar(a.get("align_corners", True)):
        grid: Grid = _aligned
    else:
        grid = _half_pixel if _scalar(a.get("half_pixel_centers", True)) else _corner
    return bilinear(a["x"].float(), _scaled(a), grid)


def _target(a: Mapping[str, Any]) -> tuple[int, int]:
    return int(_scalar(a["target_size_height"])), int(_scalar(a["target_size_width"]))


RESIZES: dict[str, Callable[[Mapping[str, Any]], torch.Tensor]] = {
    "upsample_bilinear": _upsample_bilinear,
    "resize_bilinear": lambda a: bilinear(a["x"].float(), _target(a), SAMPLING[a["sampling_mode"]]),
    "upsample_nearest_neighbor": lambda a: F.interpolate(
        a["x"].float(), _scaled(a), mode="nearest"
    ),
    "resize_nearest_neighbor": lambda a: F.interpolate(a["x"].float(), _target(a), mode="nearest"),
}
