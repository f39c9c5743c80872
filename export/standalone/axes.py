"""Linear maps along the axes of planes, as constant matrices.

A resize, a box mean and a level of a pyramid each weigh the pixels of a line and add them. Such a
map is measured once, by giving the runtime's own function every unit line. The product with the
matrix then gives the runtime's numbers on every target, borders included.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.local_affine import box_mean
from edgeexpo.imaging.pyramids import downsample, upsample
from edgeexpo.imaging.resize import resize


class AlongAxes(torch.nn.Module):
    """One linear map along the rows' axis and one along the columns', of planes 1xCxHxW.

    Args:
        down: h x H matrix that is applied to every column of pixels.
        across: w x W matrix that is applied to every row of pixels.
    """

    def __init__(self, down: Picture, across: Picture) -> None:
        super().__init__()
        self.register_buffer("down", torch.from_numpy(np.ascontiguousarray(down)))
        self.register_buffer("across", torch.from_numpy(np.ascontiguousarray(across.T)))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Map planes 1xCxHxW to 1xCxhxw, in the order that takes fewer multiplications."""
        down, across = self.get_buffer("down"), self.get_buffer("across")
        (h, height), (width, w) = down.shape, across.shape
        if height * w * (width + h) <= h * width * (height + w):
            return down @ (planes @ across)
        return (down @ planes) @ across


def resizing(size: tuple[int, int], to: tuple[int, int], method: str = "area") -> AlongAxes:
    """Return the map of :func:`edgeexpo.imaging.resize.resize` from one size to another."""
    down, across = (_resize_matrix(n, m, method) for n, m in zip(size, to, strict=True))
    return AlongAxes(down, across)


def box_means(size: tuple[int, int], radius: int) -> AlongAxes:
    """Return the map of :func:`edgeexpo.imaging.local_affine.box_mean` for planes of a size."""
    return _of_planes(size, lambda lines: box_mean(lines, radius))


def halving(size: tuple[int, int]) -> AlongAxes:
    """Return the map of :func:`edgeexpo.imaging.pyramids.downsample` for planes of a size."""
    return _of_planes(size, downsample)


def doubling(size: tuple[int, int], to: tuple[int, int]) -> AlongAxes:
    """Return the map of :func:`edgeexpo.imaging.pyramids.upsample` from one size to another."""
    down, across = (_doubling_matrix(n, m) for n, m in zip(size, to, strict=True))
    return AlongAxes(down, across)


def _of_planes(size: tuple[int, int], function: Callable[[Picture], Picture]) -> AlongAxes:
    down, across = (_matrix(n, function) for n in size)
    return AlongAxes(down, across)


def _matrix(length: int, function: Callable[[Picture], Picture]) -> Picture:
    """Return the matrix of a linear function of planes along their rows' axis."""
    unit_lines = np.eye(length, dtype=np.float32)[:, :, None]
    return np.asarray(function(unit_lines)[:, :, 0].T)


def _resize_matrix(length: int, to: int, method: str) -> Picture:
    unit_lines = np.eye(length, dtype=np.float32)[:, :, None]
    return resize(unit_lines, (to, length), method)[:, :, 0]


def _doubling_matrix(length: int, to: int) -> Picture:
    return _matrix(length, lambda lines: upsample(lines, (to, 1)))
