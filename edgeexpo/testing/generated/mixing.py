"""Blocks that look further than one layer: resizing, pooling, attention."""

from __future__ import annotations

from edgeexpo.testing.generated.block import CONVOLVED, Block

RESIZINGS = (
    Block(
        "resizing",
        "down and up to the size of the skip",
        """
        d = F.relu(self.f($down))
        return x + F.interpolate(d, size=x.shape[2:], $mode)
        """,
        CONVOLVED,
        {
            "down": (
                "F.max_pool2d(x, 2)", "F.avg_pool2d(x, 2)", "x[..., ::2, ::2]",
                "F.interpolate(x, scale_factor=0.5, mode='bilinear')",
                "F.interpolate(x, scale_factor=0.5, mode='nearest')",
                "F.interpolate(x, scale_factor=0.5, mode='bicubic')",
                "F.interpolate(x, scale_factor=0.5, mode='bilinear', antialias=True)",
                "F.interpolate(x, scale_factor=0.5, mode='area')",
                "F.max_pool2d(x, 3, 2, 1)", "F.avg_pool2d(x, 2, ceil_mode=True)",
            ),
            "mode": (
                "mode='nearest'", "mode='bilinear'", "mode='bilinear', align_corners=True",
                "mode='bicubic'", "mode='bicubic', align_corners=True", "mode='nearest-exact'",
            ),
        },
    ),
    Block(
        "resizing",
        "down and up by a factor",
        "return x + self.up(F.relu(self.f(F.$pool(x, 2))))",
        """
        self.f = nn.Conv2d($c, $c, 3, padding=1)
        self.up = nn.Upsample(scale_factor=2, $mode)
        """,
        {
            "pool": ("max_pool2d", "avg_pool2d"),
            "mode": (
                "mode='nearest'", "mode='bilinear'", "mode='bilinear', align_corners=True",
                "mode='bicubic'",
            ),
        },
    ),
    Block(
        "resizing",
        "up and down",
        """
        u = F.interpolate(x, scale_factor=2, mode='$mode')
        return F.$pool(self.f(u), 2)
        """,
        CONVOLVED,
        {"mode": ("nearest", "bilinear", "bicubic"), "pool": ("avg_pool2d", "max_pool2d")},
    ),
    Block(
        "resizing",
        "pixel shuffle",
        "return F.pixel_shuffle(self.f(F.pixel_unshuffle(x, $r)), $r)",
        "self.f = nn.Conv2d($c * $r * $r, $c * $r * $r, 1, groups=$c)",
        {"r": (2, 4)},
    ),
    Block(
        "resizing",
        "up by pixel shuffle",
        "return F.avg_pool2d(F.pixel_shuffle(self.f(x), 2), 2)",
        "self.f = nn.Conv2d($c, 4 * $c, 3, padding=1)",
    ),
    Block(
        "resizing",
        "pads inside itself",
        """
        h, w = x.shape[2:]
        y = F.pad(x, (0, -w % $m, 0, -h % $m), mode='$mode')
        y = F.pixel_shuffle(self.f(F.pixel_unshuffle(y, $m)), $m)
        return y[:, :, :h, :w]
        """,
        "self.f = nn.Conv2d($c * $m * $m, $c * $m * $m, 1, groups=$c)",
        {"m": (2, 4), "mode": ("constant", "reflect", "replicate")},
    ),
    Block(
        "resizing",
        "fraction of the size",
        """
        h, w = x.shape[2:]
        d = F.interpolate(x, size=(h * 2 // 3, w * 2 // 3), mode='bilinear')
        return F.interpolate(self.f(d), size=(h, w), mode='$mode')
        """,
        CONVOLVED,
        {"mode": ("bilinear", "nearest", "bicubic")},
    ),
)  # fmt: skip
"""Resizings that come back to the size of the input."""

POOLINGS = (
    Block(
        "pooling",
        "at every pixel",
        "return $pool",
        choices={
            "pool": (
                "F.avg_pool2d(x, 3, 1, 1)", "F.max_pool2d(x, 3, 1, 1)", "F.max_pool2d(x, 5, 1, 2)",
                "F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)", "-F.max_pool2d(-x, 3, 1, 1)",
                "x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), 3, 1)",
                "F.lp_pool2d(F.pad(x.abs(), (0, 1, 0, 1)), 2, 2, 1)",
            )
        },
    ),
    Block(
        "pooling",
        "with indices",
        """
        y, where = F.max_pool2d(x, 2, return_indices=True)
        return x + F.max_unpool2d(y, where, 2, output_size=x.shape[2:])
        """,
    ),
    Block(
        "pooling",
        "to a grid",
        """
        y = self.f(F.$pool(x, ($h, $w)))
        return x + F.interpolate(y, size=x.shape[2:], mode='bilinear')
        """,
        "self.f = nn.Conv2d($c, $c, 1)",
        {"pool": ("adaptive_avg_pool2d", "adaptive_max_pool2d"), "h": (1, 2, 4), "w": (1, 3, 4)},
    ),
    Block(
        "pooling",
        "global",
        "return x * self.f($pool)",
        "self.f = nn.Conv2d($c, $c, 1)",
        {
            "pool": (
                "F.adaptive_avg_pool2d(x, 1)", "F.adaptive_max_pool2d(x, 1)",
                "x.mean((2, 3), keepdim=True)", "x.amax((2, 3), keepdim=True)",
                "x.mean(dim=[-1, -2]).view(1, $c, 1, 1)", "x.std((2, 3), keepdim=True)",
                "x.sum(3, keepdim=True).sum(2, keepdim=True) / (x.shape[2] * x.shape[3])",
                "x.flatten(2).mean(2)[..., None, None]",
            )
        },
    ),
    Block(
        "pooling",
        "strips",
        "return x * torch.sigmoid(self.f(x.mean(3, keepdim=True) + x.mean(2, keepdim=True)))",
        "self.f = nn.Conv2d($c, $c, 1)",
    ),
)  # fmt: skip
"""Poolings."""

ATTENTIONS = (
    Block(
        "attention",
        "squeeze and excitation",
        """
        s = F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))
        return x * $gate(self.up(s))
        """,
        """
        self.down = nn.Conv2d($c, $c // 4, 1)
        self.up = nn.Conv2d($c // 4, $c, 1)
        """,
        {"gate": ("torch.sigmoid", "F.hardsigmoid", "torch.tanh")},
    ),
    Block(
        "attention",
        "squeeze and excitation by linear layers",
        """
        s = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * s.view(x.shape[0], -1, 1, 1)
        """,
        """
        self.down = nn.Linear($c, $c // 2)
        self.up = nn.Linear($c // 2, $c)
        """,
    ),
    Block(
        "attention",
        "spatial",
        """
        s = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.f(s))
        """,
        "self.f = nn.Conv2d(2, 1, $k, padding=$k // 2)",
        {"k": (3, 7)},
    ),
    Block(
        "attention",
        "windows",
        """
        n, c, h, w = x.shape
        y = F.pad(x, (0, -w % 4, 0, -h % 4), mode='$mode')
        rows, columns = y.shape[2] // 4, y.shape[3] // 4
        y = y.view(n, c, rows, 4, columns, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        q, k, v = self.qkv(y).$split
        y = self.proj($attended)
        y = y.view(n, rows, columns, 4, 4, c).permute(0, 5, 1, 3, 2, 4)
        return y.reshape(n, c, rows * 4, columns * 4)[:, :, :h, :w]
        """,
        """
        self.qkv = nn.Linear($c, 3 * $c)
        self.proj = nn.Linear($c, $c)
        """,
        {
            "mode": ("constant", "reflect"),
            "split": ("chunk(3, -1)", "reshape(-1, 16, 3, $c).unbind(2)"),
            "attended": (
                "F.scaled_dot_product_attention(q, k, v)",
                "torch.softmax(q @ k.transpose(-2, -1) / $c ** 0.5, -1) @ v",
            ),
        },
    ),
    Block(
        "attention",
        "tokens",
        """
        t = F.adaptive_avg_pool2d(x, 6).flatten(2).transpose(1, 2)
        t = t + self.f(t, t, t, need_weights=False)[0]
        t = t.transpose(1, 2).view(1, $c, 6, 6)
        return x + F.interpolate(t, size=x.shape[2:], mode='bilinear')
        """,
        "self.f = nn.MultiheadAttention($c, $heads, batch_first=True)",
        {"heads": (1, 2, 4)},
    ),
    Block(
        "attention",
        "channels",
        """
        n, c, h, w = x.shape
        q, k, v = self.qkv(x).view(n, 3, c, h * w).unbind(1)
        q, k = F.normalize(q, dim=-1, eps=1e-3), F.normalize(k, dim=-1, eps=1e-3)
        y = torch.softmax(q @ k.transpose(-2, -1) * self.temperature, -1) @ v
        return self.proj(y.view(n, c, h, w))
        """,
        """
        self.qkv = nn.Conv2d($c, 3 * $c, 1)
        self.proj = nn.Conv2d($c, $c, 1)
        self.temperature = nn.Parameter(torch.ones(1))
        """,
    ),
)
"""Attention."""
