"""Exposure fusion and the structure of a bracket, as torch modules of one size.

They compute what :mod:`edgeexpo.imaging.fusion` and :mod:`edgeexpo.imaging.structure` compute, in
operators that every target has.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from edgeexpo.export.standalone.axes import AlongAxes, box_means, doubling, halving, resizing
from edgeexpo.export.standalone.planes import Planes, luma, product_sum
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.fusion import Measures, depth
from edgeexpo.imaging.structure import MEASURES, WEIGHT_RADIUS, low_size


class Shares(torch.nn.Module):
    """Each frame's share of the total weight: :func:`edgeexpo.imaging.fusion.frame_shares`.

    Args:
        size: Height and width of the frames.
        measures: The measures; their exponents are 0 or 1.
    """

    def __init__(self, size: tuple[int, int], measures: Measures) -> None:
        super().__init__()
        self._measures = measures
        down, across = (torch.from_numpy(_second_difference(n)) for n in size)
        self.register_buffer("down", down)
        self.register_buffer("across", across.T.contiguous())

    def forward(self, frames: Sequence[torch.Tensor]) -> Planes:
        """Return the shares, 1x1xHxW each, of pictures 1x3xHxW."""
        weights = [self._weight(frame) for frame in frames]
        total = sum(weights[1:], start=weights[0])
        return [weight / total for weight in weights]

    def _weight(self, frame: torch.Tensor) -> torch.Tensor:
        chosen, grey = self._measures, luma(frame)
        curvature = self.get_buffer("down") @ grey + grey @ self.get_buffer("across")
        weight = curvature.abs() if chosen.contrast else torch.ones_like(grey)
        if chosen.saturation:
            distance = frame - frame.mean(1, keepdim=True)
            weight = weight * torch.sqrt(product_sum(distance, distance))
        if chosen.exposedness:
            distance = frame - 0.5
            near = product_sum(distance, distance) * (-0.5 / chosen.sigma**2)
            weight = weight * torch.exp(near)
        return weight + chosen.floor


class Fusion(torch.nn.Module):
    """Exposure fusion over Laplacian pyramids: :func:`edgeexpo.imaging.fusion.exposure_fusion`.

    Args:
        size: Height and width of the frames.
        measures: The measures; their exponents are 0 or 1.
    """

    def __init__(self, size: tuple[int, int], measures: Measures) -> None:
        super().__init__()
        self.shares = Shares(size, measures)
        sizes = [size]
        for _ in range(depth(size)):
            height, width = sizes[-1]
            sizes.append((-(-height // 2), -(-width // 2)))
        pairs = list(itertools.pairwise(sizes))
        self.shrinking = torch.nn.ModuleList(halving(large) for large, _ in pairs)
        self.enlarging = torch.nn.ModuleList(doubling(small, large) for large, small in pairs)

    def forward(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fuse pictures, 1x3xHxW each in [0, 1], to one of the same size."""
        bands: Planes = []
        for frame, share in zip(frames, self.shares(frames), strict=True):
            for level, part in enumerate(self._weighted(frame, share)):
                if level == len(bands):
                    bands.append(part)
                else:
                    bands[level] = bands[level] + part
        result = bands.pop()
        for double, band in zip(reversed(list(self.enlarging)), reversed(bands), strict=True):
            result = band + double(result)
        return result.clamp(0, 1)

    def _weighted(self, frame: torch.Tensor, share: torch.Tensor) -> Planes:
        """Return the bands of a frame, finest first, each weighted by the share at its size."""
        parts = []
        for halve, double in zip(self.shrinking, self.enlarging, strict=True):
            smaller = halve(frame)
            parts.append((frame - double(smaller)) * share)
            frame, share = smaller, halve(share)
        return [*parts, frame * share]


class Structure(torch.nn.Module):
    """Weights and offsets of a bracket: :func:`edgeexpo.imaging.structure.structure_maps`.

    Args:
        size: Height and width of the frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.low = low_size(*size)
        self.shrink: AlongAxes = resizing(size, self.low)
        self.shares = Shares(self.low, MEASURES)
        self.fusion = Fusion(self.low, MEASURES)
        self.mean: AlongAxes = box_means(self.low, WEIGHT_RADIUS)

    def forward(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the maps, 1x(N+3)xhxw, of N frames 1x3xHxW: weights, then offsets."""
        copies = [self.shrink(frame) for frame in frames]
        weights = self.mean(torch.cat(self.shares(copies), 1))
        offsets = self.fusion(copies)
        for index, copy in enumerate(copies):
            offsets = offsets - weights[:, index : index + 1] * copy
        return torch.cat([weights, offsets], 1)


def applied(maps: torch.Tensor, frames: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the structure, 1x3xHxW clipped to [0, 1], from maps of the frames' size."""
    count = len(frames)
    picture = maps[:, count:]
    for index, frame in enumerate(frames):
        picture = picture + maps[:, index : index + 1] * frame
    return picture.clamp(0, 1)


def _second_difference(length: int) -> Picture:
    """Return the matrix of ``2 x[i] - x[i-1] - x[i+1]``, with reflected borders."""
    matrix = 2 * np.eye(length, dtype=np.float32)
    for i in range(length):
        for neighbour in (i - 1, i + 1):
            inside = min(abs(neighbour), 2 * (length - 1) - neighbour)
            matrix[i, max(inside, 0)] -= 1
    return matrix
