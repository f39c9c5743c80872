"""Real-ESRGAN's compact network, written from its description like a user's own network.

Wang, Xie, Dong, Shan: Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data, ICCV Workshops 2021; the compact network came with its later versions. The code is edgeexpo's.
It enlarges four times and has 4 convolutions instead of 16 or 32, and 20 channels instead of 64.
Export it with::

    edgeexpo export benchmarks/foreign/real_esrgan.py:factory \\
        --input photo=1x3x64x64 --target all --precision fp32,int8
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class CompactNet(nn.Module):
    """The network, which enlarges a picture: NCHW sRGB in [0,1] in and out."""

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 20,
        num_conv: int = 4,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        self.upscale = upscale
        self.body = nn.ModuleList()
        self.body.append(nn.Conv2d(num_in_ch, num_feat, 3, 1, 1))
        self.body.append(nn.PReLU(num_parameters=num_feat))
        for _ in range(num_conv):
            self.body.append(nn.Conv2d(num_feat, num_feat, 3, 1, 1))
            self.body.append(nn.PReLU(num_parameters=num_feat))
        self.body.append(nn.Conv2d(num_feat, num_out_ch * upscale * upscale, 3, 1, 1))
        self.upsampler = nn.PixelShuffle(upscale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x
        for i in range(len(self.body)):
            out = self.body[i](out)
        out = self.upsampler(out)
        base = F.interpolate(x, scale_factor=self.upscale, mode="nearest")
        out += base
        return out


def factory() -> nn.Module:
    """Return the network with weights of a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CompactNet()
        for module in network.modules():
            if isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight, -0.3, 0.6)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
                assert module.bias is not None
                nn.init.uniform_(module.bias, -0.1, 0.1)
        with torch.no_grad():
            last = network.body[-1]
            assert isinstance(last, nn.Conv2d)
            last.weight.mul_(0.1)
    return network.eval()
