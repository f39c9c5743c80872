"""HDRNet, written from its paper like a user's own network.

Gharbi, Chen, Barron, Hasinoff, Durand: Deep Bilateral Learning for Real-Time Image Enhancement,
SIGGRAPH 2017. The code is edgeexpo's. Its small copy has 64 pixels instead of 256, and its grid is
8x8x4 instead of 16x16x8. The grid is sliced by ``grid_sample``, as public versions in PyTorch do.
Export it with::

    edgeexpo export benchmarks/foreign/hdrnet.py:factory \\
        --input photo=1x3x96x96 --target all --precision fp32,int8
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class ConvBlock(nn.Module):
    """A convolution, with batch norm and an activation if they are asked for."""

    def __init__(
        self,
        inc: int,
        outc: int,
        kernel_size: int = 3,
        padding: int = 1,
        stride: int = 1,
        use_bias: bool = True,
        activation: type[nn.Module] | None = nn.ReLU,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inc, outc, kernel_size, padding=padding, stride=stride, bias=use_bias)
        self.activation = activation() if activation else None
        self.bn = nn.BatchNorm2d(outc) if batch_norm else None
        nn.init.kaiming_normal_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if self.bn:
            x = self.bn(x)
        if self.activation:
            x = self.activation(x)
        return x


class FC(nn.Module):
    """A linear layer with an activation if it is asked for."""

    def __init__(self, inc: int, outc: int, activation: type[nn.Module] | None = nn.ReLU) -> None:
        super().__init__()
        self.fc = nn.Linear(inc, outc)
        self.activation = activation() if activation else None
        nn.init.kaiming_normal_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(x)
        if self.activation:
            x = self.activation(x)
        return x


class Coeffs(nn.Module):
    """The low-resolution stream, which gives a bilateral grid of 3x4 affine matrices."""

    def __init__(
        self, luma_bins: int, channel_multiplier: int, spatial_bin: int, net_input_size: int
    ) -> None:
        super().__init__()
        self.nin, self.nout = 4, 3
        self.cm, self.lb = channel_multiplier, luma_bins
        cm, lb, sb = channel_multiplier, luma_bins, spatial_bin
        self.relu = nn.ReLU()
        self.splat_features = nn.ModuleList()
        prev_ch = 3
        for i in range(int(math.log2(net_input_size / sb))):
            self.splat_features.append(
                ConvBlock(prev_ch, cm * (2**i) * lb, 3, stride=2, batch_norm=i > 0)
            )
            prev_ch = splat_ch = cm * (2**i) * lb
        self.global_features_conv = nn.ModuleList()
        self.global_features_fc = nn.ModuleList()
        for _ in range(int(math.log2(sb / 4))):
            self.global_features_conv.append(
                ConvBlock(prev_ch, cm * 4 * lb, 3, stride=2, batch_norm=True)
            )
            prev_ch = cm * 4 * lb
        self.global_features_fc.append(FC(prev_ch * 4**2, 8 * cm * lb))
        self.global_features_fc.append(FC(8 * cm * lb, 4 * cm * lb, activation=None))
        self.local_features = nn.ModuleList()
        self.local_features.append(ConvBlock(splat_ch, 4 * cm * lb, 3, batch_norm=True))
        self.local_features.append(
            ConvBlock(4 * cm * lb, 4 * cm * lb, 3, activation=None, use_bias=False)
        )
        self.conv_out = ConvBlock(
            4 * cm * lb, lb * self.nout * self.nin, 1, padding=0, activation=None
        )

    def forward(self, lowres_input: torch.Tensor) -> torch.Tensor:
        bs = lowres_input.shape[0]
        x = lowres_input
        for layer in self.splat_features:
            x = layer(x)
        splat_features = x
        for layer in self.global_features_conv:
            x = layer(x)
        x = x.view(bs, -1)
        for layer in self.global_features_fc:
            x = layer(x)
        global_features = x
        x = splat_features
        for layer in self.local_features:
            x = layer(x)
        fusion_global = global_features.view(bs, 4 * self.cm * self.lb, 1, 1)
        fusion = self.relu(x + fusion_global)
        x = self.conv_out(fusion)
        return torch.stack(torch.split(x, self.nin * self.nout, 1), 2)


class GuideNN(nn.Module):
    """The guide: two pointwise convolutions of the photograph."""

    def __init__(self, guide_complexity: int = 8) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, guide_complexity, kernel_size=1, padding=0, batch_norm=True)
        self.conv2 = ConvBlock(guide_complexity, 1, kernel_size=1, padding=0, activation=nn.Sigmoid)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.conv1(x))


class Slice(nn.Module):
    """Looks every pixel's matrix up in the grid: by its place, and by the guide's value."""

    def forward(self, bilateral_grid: torch.Tensor, guidemap: torch.Tensor) -> torch.Tensor:
        N, _, H, W = guidemap.shape
        hg, wg = torch.meshgrid([torch.arange(0, H), torch.arange(0, W)], indexing="ij")
        hg = hg.to(guidemap.device)
        wg = wg.to(guidemap.device)
        hg = hg.float().repeat(N, 1, 1).unsqueeze(3) / (H - 1) * 2 - 1
        wg = wg.float().repeat(N, 1, 1).unsqueeze(3) / (W - 1) * 2 - 1
        guidemap = guidemap.permute(0, 2, 3, 1).contiguous() * 2 - 1
        guidemap_guide = torch.cat([wg, hg, guidemap], dim=3).unsqueeze(1)
        coeff = F.grid_sample(
            bilateral_grid, guidemap_guide, padding_mode="border", align_corners=True
        )
        return coeff.squeeze(2)


class ApplyCoeffs(nn.Module):
    """Applies every pixel's affine matrix to its colour."""

    def forward(self, coeff: torch.Tensor, full_res_input: torch.Tensor) -> torch.Tensor:
        R = torch.sum(full_res_input * coeff[:, 0:3, :, :], dim=1, keepdim=True)
        R = R + coeff[:, 3:4, :, :]
        G = torch.sum(full_res_input * coeff[:, 4:7, :, :], dim=1, keepdim=True)
        G = G + coeff[:, 7:8, :, :]
        B = torch.sum(full_res_input * coeff[:, 8:11, :, :], dim=1, keepdim=True)
        B = B + coeff[:, 11:12, :, :]
        return torch.cat([R, G, B], dim=1)


class HDRPointwiseNN(nn.Module):
    """The network, which changes tone and colour: NCHW sRGB in [0,1] in and out."""

    def __init__(self, net_input_size: int = 64) -> None:
        super().__init__()
        self.net_input_size = net_input_size
        self.coeffs = Coeffs(
            luma_bins=4, channel_multiplier=2, spatial_bin=8, net_input_size=net_input_size
        )
        self.guide = GuideNN()
        self.slice = Slice()
        self.apply_coeffs = ApplyCoeffs()

    def forward(self, fullres: torch.Tensor) -> torch.Tensor:
        lowres = F.interpolate(
            fullres,
            (self.net_input_size, self.net_input_size),
            mode="bilinear",
            align_corners=False,
        )
        coeffs = self.coeffs(lowres)
        guide = self.guide(fullres)
        slice_coeffs = self.slice(coeffs, guide)
        return self.apply_coeffs(slice_coeffs, fullres)


def factory() -> nn.Module:
    """Return the network with weights of a fixed seed, whose matrices are near the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = HDRPointwiseNN()
        last = network.coeffs.conv_out.conv
        assert last.bias is not None
        with torch.no_grad():
            last.weight.mul_(0.05)
            for depth in range(4):
                for channel in range(3):
                    last.bias[12 * depth + 5 * channel] = 0.7 + 0.1 * depth
    return network.eval()
