"""Small networks that compute more than features: sizes, grids, masks, vectors and numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Around(nn.Module):
    """Two convolutions on a residual path, with ``between`` between them."""

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8 + more, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x + 0.3 * self.last(self.between(F.relu(self.first(x)))), 0, 1)

    def between(self, y: Tensor) -> Tensor:
        return y


class SizeOfSkip(Around):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Conv2d(16, 8, 1)

    def between(self, y: Tensor) -> Tensor:
        deep = F.relu(self.down(y))
        wide = F.interpolate(deep, size=y.shape[2:], mode="bilinear", align_corners=False)
        return F.relu(self.up(torch.cat([wide, y], 1)))


class SizeAsFactor(Around):
    def between(self, y: Tensor) -> Tensor:
        return F.relu(y * (y.shape[-1] / 64) + y.shape[-2] / 640)


class Coordinates(Around):
    def __init__(self) -> None:
        super().__init__(2)

    def between(self, y: Tensor) -> Tensor:
        n, _, height, width = y.shape
        u = torch.linspace(-1, 1, width).view(1, 1, 1, width).expand(n, 1, height, width)
        v = torch.arange(height, dtype=y.dtype).view(1, 1, height, 1) / height
        return torch.cat([y, u, v.expand(n, 1, height, width)], 1)


class Meshgrid(Around):
    def between(self, y: Tensor) -> Tensor:
        height, width = y.shape[2:]
        v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        return y * (1 - (u + v).to(y.dtype) / (height + width))


class Masks(Around):
    def between(self, y: Tensor) -> Tensor:
        bright = y.mean(1, keepdim=True) > 0.1
        return torch.where(bright & (y > 0.05), y, 0.5 * y) * bright


class Vectors(Around):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 8)

    def between(self, y: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(y.mean((2, 3))[0]))
        return y * gate.view(1, -1, 1, 1)


class Numbers(Around):
    def between(self, y: Tensor) -> Tensor:
        return y / (1 + y.amax()) + y.mean() * torch.ones(())


class Lists(Around):
    def between(self, y: Tensor) -> Tensor:
        largest, where = y.max(1, keepdim=True)
        first, second = y.split(4, 1)
        return torch.cat([first * largest, second + where / 8], 1)


class ChannelsLast(Around):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def between(self, y: Tensor) -> Tensor:
        return F.relu(self.mix(self.norm(y.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)


class WithoutBatch(Around):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(8, 8, 3, padding=1)

    def between(self, y: Tensor) -> Tensor:
        return F.relu(self.inner(y[0]))[None]


class FixedKernels(Around):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.full((8, 1, 3, 3), 1 / 9))

    def between(self, y: Tensor) -> Tensor:
        once = F.conv2d(y, self.kernel, padding=1, groups=8)
        return F.relu(y + F.conv2d(once, self.kernel, padding=1, groups=8))


class OneNumber(Around):
    """A weight and a constant without any axis."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.strength = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("level", torch.tensor(2.0))

    def between(self, y: Tensor) -> Tensor:
        return F.relu(self.inner(y) * self.strength + self.level * y)


class Assigned(Around):
    def between(self, y: Tensor) -> Tensor:
        out = torch.zeros(y.shape)
        out[:, :, 0::2] = y[:, :, 0::2]
        out[:, :, 1::2] = 0.5 * y[:, :, 1::2]
        return out


OTHER_VALUES = (
    SizeOfSkip,
    SizeAsFactor,
    Coordinates,
    Meshgrid,
    Masks,
    Vectors,
    Numbers,
    Lists,
    ChannelsLast,
    WithoutBatch,
    FixedKernels,
    OneNumber,
    Assigned,
)
"""The networks, one for each kind of value."""
