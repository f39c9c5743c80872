"""Tests that the interpreter runs blocks of well-known image networks, converted and saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeexpo.errors import EngineError
from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.mil import interpreter
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

SIDE, CHANNELS = 32, 8


def normalised(norm, x):
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NafNet(nn.Module):
    """A block with simple gates and simplified channel attention, as in NAFNet."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)
        self.wide = nn.Conv2d(CHANNELS, 2 * CHANNELS, 1)
        self.depth = nn.Conv2d(2 * CHANNELS, 2 * CHANNELS, 3, padding=1, groups=2 * CHANNELS)
        self.attention = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.beta = nn.Parameter(torch.full((1, CHANNELS, 1, 1), 0.3))

    def forward(self, x):
        first, second = self.depth(self.wide(normalised(self.norm, x))).chunk(2, 1)
        y = first * second
        return x + y * self.attention(F.adaptive_avg_pool2d(y, 1)) * self.beta


class Restormer(nn.Module):
    """A block with channel attention, normalised queries and a temperature, as in Restormer."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Conv2d(CHANNELS, 3 * CHANNELS, 1)
        self.temperature = nn.Parameter(torch.ones(2, 1, 1))
        self.mlp = nn.Conv2d(CHANNELS, 2 * CHANNELS, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        heads = [part.reshape(n, 2, c // 2, h * w) for part in self.qkv(x).chunk(3, 1)]
        query, key = (F.normalize(part, dim=-1) for part in heads[:2])
        scores = (query @ key.transpose(-2, -1) * self.temperature).softmax(-1)
        first, second = self.mlp(x + (scores @ heads[2]).reshape(n, c, h, w)).chunk(2, 1)
        return F.gelu(first) * second


class SwinIR(nn.Module):
    """A block with shifted windows, torch's attention kernel and pixel shuffle, as in SwinIR."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.up = nn.Conv2d(CHANNELS, 4 * CHANNELS, 3, padding=1)

    def forward(self, x):
        n, c, h, w = x.shape
        y = torch.roll(self.norm(x.permute(0, 2, 3, 1)), (-2, -2), (1, 2))
        windows = y.reshape(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        query, key, value = self.qkv(windows).reshape(-1, 16, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(-1, 16, c)
        y = seen.reshape(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        y = torch.roll(y, (2, 2), (1, 2)).permute(0, 3, 1, 2)
        return F.pixel_unshuffle(F.pixel_shuffle(self.up(x + y), 2), 2)[:, :c]


class SegFormer(nn.Module):
    """A block with reduced keys and an upsampled sum of scales, as in SegFormer."""

    def __init__(self):
        super().__init__()
        self.reduce = nn.Conv2d(CHANNELS, CHANNELS, 4, stride=4)
        self.norm = nn.LayerNorm(CHANNELS)
        self.heads = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)
        self.batch = nn.BatchNorm2d(CHANNELS)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        few = self.norm(self.reduce(x).flatten(2).transpose(1, 2))
        seen, _ = self.heads(tokens, few, few)
        y = self.batch((tokens + seen).transpose(1, 2).reshape(n, c, h, w))
        small = F.max_pool2d(y, 3, 2, 1, ceil_mode=True)
        return y + F.interpolate(small, (h, w), mode="bilinear", align_corners=True)


class Unet(nn.Module):
    """A block with pools, uneven padding, upsampling, norms and gates, as in U-Net and MPRNet."""

    def __init__(self):
        super().__init__()
        self.instance = nn.InstanceNorm2d(CHANNELS, affine=True)
        self.group = nn.GroupNorm(2, CHANNELS)
        self.up = nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, 2, 1, 1)

    def forward(self, x):
        small = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 2)
        y = self.up(F.hardswish(self.group(small)))
        y = F.hardsigmoid(self.instance(y)) * x + F.mish(x)
        half = F.interpolate(y, scale_factor=0.5, mode="nearest")
        return torch.cat([y, F.interpolate(half, scale_factor=2, mode="nearest")], 1)[:, ::2]


class Curves(nn.Module):
    """A block with look-ups, warps, cumulative sums and masks, as in curve and flow networks."""

    def __init__(self):
        super().__init__()
        self.flow = nn.Conv2d(CHANNELS, 2, 3, padding=1)
        lines = torch.linspace(-1, 1, SIDE)
        self.register_buffer("grid", torch.stack(torch.meshgrid(lines, lines, indexing="xy"), -1))

    def forward(self, x):
        places = self.grid + 0.1 * torch.tanh(self.flow(x)).permute(0, 2, 3, 1)
        y = F.grid_sample(x, places, align_corners=True, padding_mode="border")
        y = torch.where(y > y.mean(1, keepdim=True), y, x.cumsum(1) / CHANNELS)
        darkest = y.amin(1, keepdim=True) + y.argmax(1, keepdim=True).float() / CHANNELS
        return torch.clamp(y - darkest, -1, 1).pow(2).add(1e-4).rsqrt().log()


NETWORKS = (
    NafNet,
    Restormer,
    pytest.param(SwinIR, marks=pytest.mark.slow),
    pytest.param(SegFormer, marks=pytest.mark.slow),
    Unet,
    Curves,
)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_block_means_what_torch_means(network, tmp_path):
    torch.manual_seed(0)
    module = network().eval()
    spec = TensorSpec("x", channels=CHANNELS, color="none")
    out = TensorSpec("y", channels=CHANNELS, color="none")
    program = capture(module, (spec,), (out,), (SIDE, SIDE), 8)
    export_coreml(program, tmp_path / "net.mlpackage")
    engine = MilEngine()
    engine.load(tmp_path / "net.mlpackage")
    x = np.random.default_rng(0).standard_normal((1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(engine.run({"x": x})["y"], expected, rtol=1e-4, atol=2e-5)


def test_an_unknown_operator_is_named_with_its_package(tmp_path, monkeypatch):
    program = capture(nn.Sigmoid(), (TensorSpec("input"),), (TensorSpec("y"),), (32, 32))
    export_coreml(program, tmp_path / "net.mlpackage")
    monkeypatch.setattr(interpreter, "OPERATORS", {})
    with pytest.raises(EngineError, match=r"net\.mlpackage has operators .* know: sigmoid"):
        MilEngine().load(tmp_path / "net.mlpackage")
