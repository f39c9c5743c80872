"""U-Net, written from its paper like a user's own network.

Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI
2015. The code is edgeexpo's. It has two levels instead of four, 12 channels instead of 64, padded
convolutions with batch norm as most later versions have, and a residual to the photograph instead
of classes. ``factory`` enlarges by interpolation to the size of the skip connection,
``transposed`` by transposed convolutions. Export it with::

    edgeexpo export benchmarks/foreign/unet.py:factory \\
        --input photo=1x3x96x96 --target all --precision fp32,int8
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    """Half the size, by maximum, then a double convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    """The size of the skip connection, joined with it, then a double convolution."""

    def __init__(self, in_channels: int, out_channels: int, transposed: bool) -> None:
        super().__init__()
        self.up = (
            nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
            if transposed
            else None
        )
        self.reduce = None if transposed else nn.Conv2d(in_channels, in_channels // 2, 1)
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        if self.up is not None:
            x = self.up(x)
            diff_y = skip.size()[2] - x.size()[2]
            diff_x = skip.size()[3] - x.size()[3]
            x = F.pad(x, [diff_x // 2, diff_x - diff_x // 2, diff_y // 2, diff_y - diff_y // 2])
        else:
            assert self.reduce is not None
            x = F.interpolate(
                self.reduce(x), size=skip.shape[2:], mode="bilinear", align_corners=True
            )
        return self.conv(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """The network: NCHW sRGB in [0,1] in and out."""

    def __init__(self, width: int = 12, transposed: bool = False) -> None:
        super().__init__()
        self.inc = DoubleConv(3, width)
        self.down1 = Down(width, width * 2)
        self.down2 = Down(width * 2, width * 4)
        self.up1 = Up(width * 4, width * 2, transposed)
        self.up2 = Up(width * 2, width, transposed)
        self.outc = nn.Conv2d(width, 3, kernel_size=1)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        x1 = self.inc(photo)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.up1(x3, x2)
        x = self.up2(x, x1)
        return torch.clamp(photo + self.outc(x), 0, 1)


def _network(transposed: bool) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(transposed=transposed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.1, 0.3)
        with torch.no_grad():
            network.outc.weight.mul_(0.5)
    return network.eval()


def factory() -> nn.Module:
    """Return the network that enlarges by interpolation, with weights of a fixed seed."""
    return _network(transposed=False)


def transposed() -> nn.Module:
    """Return the network with transposed convolutions, with weights of a fixed seed."""
    return _network(transposed=True)
