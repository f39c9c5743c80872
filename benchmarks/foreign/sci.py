"""Self-Calibrated Illumination (SCI), written from its paper like a user's own network.

Ma, Ma, Liu, Fan, Luo: Toward Fast, Flexible, and Robust Low-Light Image Enhancement, CVPR 2022. The
code is edgeexpo's. Its parameters have the names of the authors' checkpoints
(github.com/vis-opt-group/SCI, MIT licence), which load strictly. Export it with::

    edgeexpo export benchmarks/foreign/sci.py:factory --weights medium.pt \\
        --input photo=1x3x256x256 --target all --precision fp32,fp16,int8
"""

from __future__ import annotations

import torch
from torch import nn

DARKEST = 1e-4
"""Smallest illumination by which a picture is divided."""


class Illumination(nn.Module):
    """Estimates the illumination of a picture (the paper's H): NCHW RGB in [0,1] in and out."""

    def __init__(self, layers: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU())
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()
        )
        # The layers share one convolution; the checkpoint holds it under both names.
        self.blocks = nn.ModuleList([self.conv] * layers)
        self.out_conv = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        features = self.in_conv(photo)
        for block in self.blocks:
            features = features + block(features)
        return (self.out_conv(features) + photo).clamp(DARKEST, 1)


class Calibration(nn.Module):
    """The self-calibrated module (the paper's K), which only training uses."""

    def __init__(self, layers: int = 3, channels: int = 16) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(*_unit(3, channels))
        self.convs = nn.Sequential(*_unit(channels, channels), *_unit(channels, channels))
        self.blocks = nn.ModuleList([self.convs] * layers)
        self.out_conv = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Sigmoid())


class SelfCalibratedIllumination(nn.Module):
    """The network, which divides a dark photograph by its illumination: NCHW sRGB in [0,1]."""

    def __init__(self) -> None:
        super().__init__()
        self.enhance = Illumination()
        self.calibrate = Calibration()

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        return (photo / self.enhance(photo)).clamp(0, 1)


def _unit(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def factory() -> nn.Module:
    """Return the network without its weights, for ``edgeexpo export``."""
    return SelfCalibratedIllumination().eval()
