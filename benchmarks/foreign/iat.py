"""Illumination-Adaptive Transformer (IAT), written from its paper like a user's own network.

Cui, Li, Gu, Su, Gao, Jiang, Qiao, Harada: You Only Need 90K Parameters to Adapt Light: a Light
Weight Transformer for Image Enhancement and Exposure Correction, BMVC 2022. The code is edgeexpo's.
Its parameters have the names of the authors' checkpoints
(github.com/cuiziteng/Illumination-Adaptive-Transformer, Apache-2.0), which load strictly. Export it
with::

    edgeexpo export benchmarks/foreign/iat.py:factory --weights best_Epoch_exposure.pth \\
        --input photo=1x3x256x256 --target all --precision fp32,fp16,int8
"""

from __future__ import annotations

import torch
from torch import nn

QUERIES = 10
"""Number of queries: one for the exponent, nine for the colour matrix."""


class ChannelAffine(nn.Module):
    """The paper's light normalisation: a colour matrix over channels, a scale and a shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, channels))
        self.color = nn.Parameter(torch.eye(channels))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.tensordot(tokens, self.color, dims=([-1], [-1])) * self.alpha + self.beta


class PixelMlp(nn.Module):
    """Two pointwise convolutions with a GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.act = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class LocalBlock(nn.Module):
    """Pixel-wise enhancement module: depthwise position, depthwise mixing, MLP; NCHW."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = ChannelAffine(channels)
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.attn = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm2 = ChannelAffine(channels)
        self.gamma_1 = nn.Parameter(1e-4 * torch.ones(1, channels, 1, 1))
        self.gamma_2 = nn.Parameter(1e-4 * torch.ones(1, channels, 1, 1))
        self.mlp = PixelMlp(channels, 4 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.pos_embed(x)
        x = x + self.gamma_1 * self.conv2(self.attn(self.conv1(_normalise(self.norm1, x))))
        return x + self.gamma_2 * self.mlp(_normalise(self.norm2, x))


class LocalBranch(nn.Module):
    """The local branch, which computes a factor and a summand for every pixel and channel."""

    def __init__(self, channels: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.relu = nn.LeakyReLU(0.2)
        self.mul_blocks = nn.Sequential(*(LocalBlock(channels) for _ in range(blocks)))
        self.add_blocks = nn.Sequential(*(LocalBlock(channels) for _ in range(blocks)))
        self.mul_end = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.ReLU())
        self.add_end = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh())

    def forward(self, photo: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.relu(self.conv1(photo))
        factor = self.mul_end(self.mul_blocks(features) + features)
        return factor, self.add_end(self.add_blocks(features) + features)


class Embedding(nn.Module):
    """The embedding, which reduces the photograph to a quarter of its size in 64 channels."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(3, channels // 2, 3, stride=2, padding=1),
            nn.BatchNorm2d(channels // 2),
            nn.GELU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        return self.proj(photo)


class QueryAttention(nn.Module):
    """Attention of learnt queries to all pixels: (1, N, C) to (1, 10, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Parameter(torch.ones(1, QUERIES, channels))
        self.k = nn.Linear(channels, channels, bias=False)
        self.v = nn.Linear(channels, channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, _, channels = tokens.shape
        query = self._by_head(self.q.expand(batch, -1, -1))
        keys, values = self._by_head(self.k(tokens)), self._by_head(self.v(tokens))
        scores = query @ keys.transpose(-2, -1) * (channels // self.heads) ** -0.5
        seen = (scores.softmax(-1) @ values).transpose(1, 2)
        return self.proj(seen.reshape(batch, QUERIES, channels))

    def _by_head(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, count, channels = tokens.shape
        return tokens.reshape(batch, count, self.heads, channels // self.heads).transpose(1, 2)


class TokenMlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(tokens)))


class Generator(nn.Module):
    """The global prediction module: (1, C, H, W) to (1, 10, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = QueryAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = TokenMlp(channels, 4 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = (x + self.pos_embed(x)).flatten(2).transpose(1, 2)
        found = self.attn(self.norm1(tokens))
        return found + self.mlp(self.norm2(found))


class GlobalBranch(nn.Module):
    """The global branch, which computes an exponent (1, 1) and a 3x3 colour matrix (1, 3, 3).

    Both hold for the whole photograph.
    """

    def __init__(self, channels: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.gamma_base = nn.Parameter(torch.ones(1), requires_grad=False)
        self.color_base = nn.Parameter(torch.eye(3))
        self.conv_large = Embedding(channels)
        self.generator = Generator(channels, heads)
        self.gamma_linear = nn.Linear(channels, 1)
        self.color_linear = nn.Linear(channels, 1)

    def forward(self, photo: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        answers = self.generator(self.conv_large(photo))
        gamma = self.gamma_linear(answers[:, :1]).squeeze(-1) + self.gamma_base
        color = self.color_linear(answers[:, 1:]).squeeze(-1).view(-1, 3, 3) + self.color_base
        return gamma, color


class IlluminationAdaptiveTransformer(nn.Module):
    """The network, which corrects a badly exposed photograph: NCHW sRGB in [0,1], batch of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.local_net = LocalBranch()
        self.global_net = GlobalBranch()

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        factor, summand = self.local_net(photo)
        gamma, color = self.global_net(photo)
        lit = (photo * factor + summand).permute(0, 2, 3, 1)
        balanced = torch.tensordot(lit, color[0], dims=([-1], [-1])).clamp(1e-8, 1)
        return (balanced ** gamma[0]).permute(0, 3, 1, 2)


def _normalise(norm: ChannelAffine, x: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = x.shape
    tokens = norm(x.flatten(2).transpose(1, 2))
    return tokens.view(batch, height, width, channels).permute(0, 3, 1, 2)


def factory() -> nn.Module:
    """Return the network without its weights, for ``edgeexpo export``."""
    return IlluminationAdaptiveTransformer().eval()
