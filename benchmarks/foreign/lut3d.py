"""Image-adaptive 3D lookup tables, written from their paper like a user's own network.

Zeng, Cai, Li, Cao, Zhang: Learning Image-Adaptive 3D Lookup Tables for High Performance Photo
Enhancement in Real-Time, TPAMI 2020. The code is edgeexpo's. Its classifier sees 64 pixels instead
of 256, with half the channels and a layer less, and its tables have 9 nodes an axis instead of 33.
The table is looked up by ``grid_sample`` instead of an extension in C++. Export it with::

    edgeexpo export benchmarks/foreign/lut3d.py:factory \\
        --input photo=1x3x96x96 --target all --precision fp32,int8
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def discriminator_block(
    in_filters: int, out_filters: int, normalization: bool = False
) -> list[nn.Module]:
    """Return the layers that halve the size."""
    layers: list[nn.Module] = [nn.Conv2d(in_filters, out_filters, 3, stride=2, padding=1)]
    layers.append(nn.LeakyReLU(0.2))
    if normalization:
        layers.append(nn.InstanceNorm2d(out_filters, affine=True))
    return layers


class Classifier(nn.Module):
    """Gives the weights of the tables from a small copy of the photograph."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Upsample(size=(64, 64), mode="bilinear"),
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.InstanceNorm2d(8, affine=True),
            *discriminator_block(8, 16, normalization=True),
            *discriminator_block(16, 32, normalization=True),
            *discriminator_block(32, 32),
            nn.Dropout(p=0.5),
            nn.Conv2d(32, 3, 4, padding=0),
        )

    def forward(self, img_input: torch.Tensor) -> torch.Tensor:
        return self.model(img_input)


class Generator3DLUT(nn.Module):
    """A basis table: (3, nodes, nodes, nodes), with blue, green and red as its axes."""

    def __init__(self, dim: int, strength: float) -> None:
        super().__init__()
        nodes = torch.linspace(0, 1, dim)
        b, g, r = torch.meshgrid(nodes, nodes, nodes, indexing="ij")
        identity = torch.stack([r, g, b])
        if strength:
            bent = strength * torch.randn(3, 1, 1, 1) * identity * (1 - identity)
            self.LUT = nn.Parameter(bent + 0.01 * torch.randn(3, dim, dim, dim))
        else:
            self.LUT = nn.Parameter(identity)


class TrilinearInterpolation(nn.Module):
    """Looks every pixel's colour up in a table."""

    def forward(self, lut: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        img = (img - 0.5) * 2.0
        grid = img.permute(0, 2, 3, 1).unsqueeze(1)
        lut = lut.unsqueeze(0).expand(img.shape[0], -1, -1, -1, -1)
        result = F.grid_sample(
            lut, grid, mode="bilinear", padding_mode="border", align_corners=True
        )
        return result.squeeze(2)


class AdaptiveLUT(nn.Module):
    """The network, which enhances a photograph: NCHW sRGB in [0,1] in and out."""

    def __init__(self, dim: int = 9) -> None:
        super().__init__()
        self.classifier = Classifier()
        self.LUT0 = Generator3DLUT(dim, 0.0)
        self.LUT1 = Generator3DLUT(dim, 0.5)
        self.LUT2 = Generator3DLUT(dim, 0.5)
        self.trilinear_ = TrilinearInterpolation()

    def forward(self, img: torch.Tensor) -> torch.Tensor:
        pred = self.classifier(img).squeeze()
        lut = pred[0] * self.LUT0.LUT + pred[1] * self.LUT1.LUT + pred[2] * self.LUT2.LUT
        return self.trilinear_(lut, img)


def factory() -> nn.Module:
    """Return the network with weights of a fixed seed, with the identity's weight near 1."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AdaptiveLUT()
        last = network.classifier.model[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        with torch.no_grad():
            last.weight[0].mul_(0.1)
            last.bias.copy_(torch.tensor([1.0, 0.4, 0.4]))
    return network.eval()
