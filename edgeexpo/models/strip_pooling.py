"""Mixed pooling of SPNet (Hou et al., CVPR 2020, ``houqb/SPNet``): square and strip pools.

Strip pooling is a mean over one axis and a broadcast sum here, which every target lowers. It equals
adaptive pooling to 1 and interpolation back to the full size. The square pools have fixed windows.
The original's pools adapt to 20 and 12 cells, and mobile engines refuse their uneven windows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MixedPooling(nn.Module):
    """A mixed pooling module, ``relu(x + conv(cat(square pools, strip pools)))``.

    Args:
        width: Channels of input and output. Inner layers have a quarter of them.
        pools: Windows of the two average pools, in pixels. Height and width must be multiples of
            both.
    """

    def __init__(self, width: int, pools: tuple[int, int]) -> None:
        super().__init__()
        m = width // 4
        self.reduce_square, self.reduce_strip = _block(width, m, 1), _block(width, m, 1)
        self.identity = _plain(m, m, 3)
        self.pooled = nn.ModuleList([_plain(m, m, 3) for _ in pools])
        self.rows, self.columns = _plain(m, m, (1, 3)), _plain(m, m, (3, 1))
        self.merge_square, self.merge_strip = _block(m, m, 3), _block(m, m, 3)
        self.expand = _plain(2 * m, width, 1)
        self.pools = pools

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output for NxCxHxW features, of the same shape."""
        square = self.reduce_square(x)
        total = self.identity(square)
        for window, layer in zip(self.pools, self.pooled, strict=True):
            coarse = layer(nn.functional.avg_pool2d(square, window, window))
            total = total + nn.functional.interpolate(
                coarse, scale_factor=float(window), mode="bilinear", align_corners=False
            )
        square = self.merge_square(torch.relu(total))
        strip = self.reduce_strip(x)
        rows = self.rows(strip.mean(dim=2, keepdim=True))
        columns = self.columns(strip.mean(dim=3, keepdim=True))
        strip = self.merge_strip(torch.relu(rows + columns))
        return torch.relu(x + self.expand(torch.cat([square, strip], dim=1)))


def _plain(inputs: int, outputs: int, kernel: int | tuple[int, int]) -> nn.Sequential:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, sides, padding=padding, bias=False), nn.BatchNorm2d(outputs)
    )


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return _plain(inputs, outputs, kernel).append(nn.ReLU())
