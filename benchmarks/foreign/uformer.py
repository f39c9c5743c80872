"""Uformer, written from its paper like a user's own network.

Wang, Cun, Bao, Zhou, Liu, Li: Uformer: A General U-Shaped Transformer for Image Restoration, CVPR
2022. The code is edgeexpo's. It has two levels instead of four, 8 channels instead of 32, and
windows of 8 pixels, with shifts and the modulators of the decoder. Like its authors' network it
takes the square root of the number of tokens as height and width, and so square pictures alone.
Export it with::

    edgeexpo export benchmarks/foreign/uformer.py:factory \\
        --input photo=1x3x64x64 --target all --precision fp32,int8
"""

from __future__ import annotations

import math

import torch
from torch import nn


def window_partition(x: torch.Tensor, win_size: int) -> torch.Tensor:
    """Turn (B, H, W, C) into (windows, win_size, win_size, C)."""
    B, H, W, C = x.shape
    x = x.view(B, H // win_size, win_size, W // win_size, win_size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, win_size, win_size, C)


def window_reverse(windows: torch.Tensor, win_size: int, H: int, W: int) -> torch.Tensor:
    """Turn (windows, win_size, win_size, C) into (B, H, W, C)."""
    B = int(windows.shape[0] / (H * W / win_size / win_size))
    x = windows.view(B, H // win_size, W // win_size, win_size, win_size, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(B, H, W, -1)


class LinearProjection(nn.Module):
    """Queries, keys and values by heads."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=True)
        self.to_kv = nn.Linear(dim, dim * 2, bias=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        B_, N, C = x.shape
        attn_kv = x
        N_kv = attn_kv.size(1)
        q = self.to_q(x).reshape(B_, N, 1, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        kv = self.to_kv(attn_kv).reshape(B_, N_kv, 2, self.heads, C // self.heads)
        kv = kv.permute(2, 0, 3, 1, 4)
        q = q[0]
        k, v = kv[0], kv[1]
        return q, k, v


class WindowAttention(nn.Module):
    """Attention within windows, with a learnt bias for every relative position."""

    relative_position_index: torch.Tensor

    def __init__(self, dim: int, win_size: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.win_size = win_size
        self.num_heads = num_heads
        head_dim = dim // num_heads
        self.scale = head_dim**-0.5
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * win_size[0] - 1) * (2 * win_size[1] - 1), num_heads)
        )
        coords_h = torch.arange(self.win_size[0])
        coords_w = torch.arange(self.win_size[1])
        coords = torch.stack(torch.meshgrid([coords_h, coords_w], indexing="ij"))
        coords_flatten = torch.flatten(coords, 1)
        relative_coords = coords_flatten[:, :, None] - coords_flatten[:, None, :]
        relative_coords = relative_coords.permute(1, 2, 0).contiguous()
        relative_coords[:, :, 0] += self.win_size[0] - 1
        relative_coords[:, :, 1] += self.win_size[1] - 1
        relative_coords[:, :, 0] *= 2 * self.win_size[1] - 1
        self.register_buffer("relative_position_index", relative_coords.sum(-1))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = LinearProjection(dim, num_heads)
        self.attn_drop = nn.Dropout(0.0)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(0.0)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        B_, N, C = x.shape
        q, k, v = self.qkv(x)
        q = q * self.scale
        attn = q @ k.transpose(-2, -1)
        relative_position_bias = self.relative_position_bias_table[
            self.relative_position_index.view(-1)
        ].view(self.win_size[0] * self.win_size[1], self.win_size[0] * self.win_size[1], -1)
        relative_position_bias = relative_position_bias.permute(2, 0, 1).contiguous()
        ratio = attn.size(-1) // relative_position_bias.size(-1)
        relative_position_bias = relative_position_bias.repeat(1, 1, ratio)
        attn = attn + relative_position_bias.unsqueeze(0)
        if mask is not None:
            nW = mask.shape[0]
            mask = mask.repeat(1, 1, ratio)
            attn = attn.view(B_ // nW, nW, self.num_heads, N, N * ratio)
            attn = attn + mask.unsqueeze(1).unsqueeze(0)
            attn = attn.view(-1, self.num_heads, N, N * ratio)
            attn = self.softmax(attn)
        else:
            attn = self.softmax(attn)
        attn = self.attn_drop(attn)
        x = (attn @ v).transpose(1, 2).reshape(B_, N, C)
        x = self.proj(x)
        return self.proj_drop(x)


class LeFF(nn.Module):
    """Locally-enhanced feed-forward network: a depthwise convolution between linear layers."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Sequential(nn.Linear(dim, hidden_dim), nn.GELU())
        self.dwconv = nn.Sequential(
            nn.Conv2d(
                hidden_dim, hidden_dim, groups=hidden_dim, kernel_size=3, stride=1, padding=1
            ),
            nn.GELU(),
        )
        self.linear2 = nn.Sequential(nn.Linear(hidden_dim, dim))
        self.hidden_dim = hidden_dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bs, hw, _ = x.size()
        hh = int(math.sqrt(hw))
        x = self.linear1(x)
        x = x.view(bs, hh, hh, self.hidden_dim).permute(0, 3, 1, 2)
        x = self.dwconv(x)
        x = x.permute(0, 2, 3, 1).reshape(bs, hh * hh, self.hidden_dim)
        return self.linear2(x)


class InputProj(nn.Module):
    """Turns a picture into tokens (B, HW, C)."""

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_channel, out_channel, kernel_size=3, stride=1, padding=1),
            nn.LeakyReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2).contiguous()


class OutputProj(nn.Module):
    """Turns tokens into a picture."""

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_channel, out_channel, kernel_size=3, stride=1, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, L, C = x.shape
        H = int(math.sqrt(L))
        W = int(math.sqrt(L))
        x = x.transpose(1, 2).view(B, C, H, W)
        return self.proj(x)


class Downsample(nn.Module):
    """Half the size, by a strided convolution of the tokens' picture."""

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channel, out_channel, kernel_size=4, stride=2, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, L, C = x.shape
        H = int(math.sqrt(L))
        W = int(math.sqrt(L))
        x = x.transpose(1, 2).contiguous().view(B, C, H, W)
        return self.conv(x).flatten(2).transpose(1, 2).contiguous()


class Upsample(nn.Module):
    """Twice the size, by a transposed convolution of the tokens' picture."""

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        self.deconv = nn.Sequential(
            nn.ConvTranspose2d(in_channel, out_channel, kernel_size=2, stride=2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, L, C = x.shape
        H = int(math.sqrt(L))
        W = int(math.sqrt(L))
        x = x.transpose(1, 2).contiguous().view(B, C, H, W)
        return self.deconv(x).flatten(2).transpose(1, 2).contiguous()


class LeWinTransformerBlock(nn.Module):
    """Window attention, shifted or not, with a learnt modulator, and LeFF."""

    def __init__(
        self, dim: int, num_heads: int, win_size: int, shift_size: int, modulator: bool
    ) -> None:
        super().__init__()
        self.win_size = win_size
        self.shift_size = shift_size
        self.modulator = nn.Embedding(win_size * win_size, dim) if modulator else None
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, (win_size, win_size), num_heads)
        self.drop_path = nn.Identity()
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = LeFF(dim, dim * 2)

    def with_pos_embed(self, tensor: torch.Tensor, pos: torch.Tensor | None) -> torch.Tensor:
        return tensor if pos is None else tensor + pos

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, L, C = x.shape
        H = int(math.sqrt(L))
        W = int(math.sqrt(L))
        attn_mask = None
        if self.shift_size > 0:
            shift_mask = torch.zeros((1, H, W, 1)).type_as(x)
            h_slices = (
                slice(0, -self.win_size),
                slice(-self.win_size, -self.shift_size),
                slice(-self.shift_size, None),
            )
            w_slices = (
                slice(0, -self.win_size),
                slice(-self.win_size, -self.shift_size),
                slice(-self.shift_size, None),
            )
            cnt = 0
            for h in h_slices:
                for w in w_slices:
                    shift_mask[:, h, w, :] = cnt
                    cnt += 1
            shift_mask_windows = window_partition(shift_mask, self.win_size)
            shift_mask_windows = shift_mask_windows.view(-1, self.win_size * self.win_size)
            attn_mask = shift_mask_windows.unsqueeze(1) - shift_mask_windows.unsqueeze(2)
            attn_mask = attn_mask.masked_fill(attn_mask != 0, -100.0).masked_fill(
                attn_mask == 0, 0.0
            )
        shortcut = x
        x = self.norm1(x)
        x = x.view(B, H, W, C)
        if self.shift_size > 0:
            shifted_x = torch.roll(x, shifts=(-self.shift_size, -self.shift_size), dims=(1, 2))
        else:
            shifted_x = x
        x_windows = window_partition(shifted_x, self.win_size)
        x_windows = x_windows.view(-1, self.win_size * self.win_size, C)
        if self.modulator is not None:
            wmsa_in = self.with_pos_embed(x_windows, self.modulator.weight)
        else:
            wmsa_in = x_windows
        attn_windows = self.attn(wmsa_in, mask=attn_mask)
        attn_windows = attn_windows.view(-1, self.win_size, self.win_size, C)
        shifted_x = window_reverse(attn_windows, self.win_size, H, W)
        if self.shift_size > 0:
            x = torch.roll(shifted_x, shifts=(self.shift_size, self.shift_size), dims=(1, 2))
        else:
            x = shifted_x
        x = x.view(B, H * W, C)
        x = shortcut + self.drop_path(x)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class BasicUformerLayer(nn.Module):
    """Blocks of one level, every second one with shifted windows."""

    def __init__(
        self, dim: int, depth: int, num_heads: int, win_size: int, modulator: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                LeWinTransformerBlock(
                    dim,
                    num_heads,
                    win_size,
                    shift_size=0 if (i % 2 == 0) else win_size // 2,
                    modulator=modulator,
                )
                for i in range(depth)
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for blk in self.blocks:
            x = blk(x)
        return x


class Uformer(nn.Module):
    """The network: NCHW sRGB in [0,1] in and out, square, with sides that are multiples of 32."""

    def __init__(
        self,
        embed_dim: int = 8,
        depths: tuple[int, ...] = (2, 1, 1, 1, 2),
        num_heads: tuple[int, ...] = (1, 2, 4, 4, 2),
        win_size: int = 8,
    ) -> None:
        super().__init__()
        self.pos_drop = nn.Dropout(p=0.0)
        self.input_proj = InputProj(3, embed_dim)
        self.output_proj = OutputProj(2 * embed_dim, 3)
        self.encoderlayer_0 = BasicUformerLayer(embed_dim, depths[0], num_heads[0], win_size)
        self.dowsample_0 = Downsample(embed_dim, embed_dim * 2)
        self.encoderlayer_1 = BasicUformerLayer(embed_dim * 2, depths[1], num_heads[1], win_size)
        self.dowsample_1 = Downsample(embed_dim * 2, embed_dim * 4)
        self.conv = BasicUformerLayer(embed_dim * 4, depths[2], num_heads[2], win_size)
        self.upsample_0 = Upsample(embed_dim * 4, embed_dim * 2)
        self.decoderlayer_0 = BasicUformerLayer(
            embed_dim * 4, depths[3], num_heads[3], win_size, modulator=True
        )
        self.upsample_1 = Upsample(embed_dim * 4, embed_dim)
        self.decoderlayer_1 = BasicUformerLayer(
            embed_dim * 2, depths[4], num_heads[4], win_size, modulator=True
        )
        self.apply(self._init_weights)

    def _init_weights(self, m: nn.Module) -> None:
        if isinstance(m, nn.Linear):
            nn.init.trunc_normal_(m.weight, std=0.02)
            if m.bias is not None:
                nn.init.constant_(m.bias, 0)
        elif isinstance(m, nn.LayerNorm):
            nn.init.constant_(m.bias, 0)
            nn.init.constant_(m.weight, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.input_proj(x)
        y = self.pos_drop(y)
        conv0 = self.encoderlayer_0(y)
        pool0 = self.dowsample_0(conv0)
        conv1 = self.encoderlayer_1(pool0)
        pool1 = self.dowsample_1(conv1)
        conv2 = self.conv(pool1)
        up0 = self.upsample_0(conv2)
        deconv0 = torch.cat([up0, conv1], -1)
        deconv0 = self.decoderlayer_0(deconv0)
        up1 = self.upsample_1(deconv0)
        deconv1 = torch.cat([up1, conv0], -1)
        deconv1 = self.decoderlayer_1(deconv1)
        y = self.output_proj(deconv1)
        return x + y


def factory() -> nn.Module:
    """Return the network with weights of a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Uformer()
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.2)
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.3)
        with torch.no_grad():
            last = network.output_proj.proj[0]
            assert isinstance(last, nn.Conv2d)
            last.weight.mul_(0.2)
    return network.eval()
