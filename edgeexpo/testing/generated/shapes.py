"""Blocks that rearrange features: arithmetic of shapes, changes in place, assignments."""

from __future__ import annotations

from edgeexpo.testing.generated.block import CONVOLVED, Block

SHAPES = (
    Block(
        "shapes",
        "expression",
        "return $made",
        choices={
            "made": (
                "torch.cat(x.chunk(2, 1)[::-1], 1)",
                "torch.cat([x[:, $c // 4 :], x[:, : $c // 4]], 1)",
                "x.view(x.shape[0], 2, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape)",
                "x.unflatten(1, (4, -1)).flip(1).flatten(1, 2)",
                "torch.stack([x, x.flip(3)], 0).mean(0)",
                "torch.stack(x.split($c // 2, 1), 2).flatten(1, 2)",
                "x.flip((2, 3)).roll(1, 1)",
                "torch.roll(x, (1, -2), (2, 3))",
                "torch.roll(x, $c // 2, 1)",
                "x.transpose(2, 3).contiguous().transpose(2, 3) + 0.1 * x.flip(1)",
                "torch.stack(torch.unbind(x, 1)[::-1], 1)",
                "x[:, torch.arange($c - 1, -1, -1)]",
                "x.repeat(1, 2, 1, 1)[:, $c // 2 : $c // 2 + $c]",
                "x[:, ::2].repeat_interleave(2, 1)",
                "x + x.narrow(1, 0, 1).expand_as(x)",
                "torch.cat([x[..., 1:, :], x[..., :1, :]], 2)",
                "x - torch.cat([x[..., :1], x[..., :-1]], 3)",
                "x.permute(0, 2, 3, 1).reshape(-1, $c).t().reshape(1, $c, *x.shape[2:])",
                "torch.cat([p * (i + 1) / 4 for i, p in enumerate(x.tensor_split(4, 1))], 1)",
            )
        },
    ),
    Block(
        "shapes",
        "einsum",
        "return torch.einsum('$equation', $operands)",
        "self.weight = nn.Parameter(torch.randn($c, $c) / $c ** 0.5)",
        {
            "equation": ("nchw,dc->ndhw", "nchw,cd->ndhw"),
            "operands": ("x, self.weight", "x, self.weight.softmax(1)"),
        },
    ),
    Block(
        "shapes",
        "linear over channels",
        "return self.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)$then",
        "self.f = nn.Linear($c, $c)",
        {"then": ("", ".contiguous()")},
    ),
    Block(
        "shapes",
        "uneven split",
        """
        a, b = torch.split(x, [$c // 4, $c - $c // 4], 1)
        return torch.cat([F.relu(self.f(a)), b], 1)
        """,
        "self.f = nn.Conv2d($c // 4, $c // 4, 3, padding=1)",
    ),
    Block(
        "shapes",
        "coordinates",
        """
        n, _, h, w = x.shape
        u = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(n, 1, h, w)
        v = torch.arange(h, dtype=x.dtype).view(1, 1, h, 1).expand(n, 1, h, w) / h
        return self.f(torch.cat([x, u, v], 1))
        """,
        "self.f = nn.Conv2d($c + 2, $c, 1)",
    ),
    Block(
        "shapes",
        "token mixer",
        """
        n, c, h, w = x.shape
        t = self.norm(x.flatten(2).transpose(1, 2))
        t = self.g(F.gelu(self.f(t)))
        return t.transpose(1, 2).$back
        """,
        """
        self.norm = nn.LayerNorm($c)
        self.f, self.g = nn.Linear($c, 2 * $c), nn.Linear(2 * $c, $c)
        """,
        {"back": ("reshape(n, c, h, w)", "unflatten(2, (h, w))", "contiguous().view(x.shape)")},
    ),
)
"""Arithmetic of shapes."""

ASSIGNMENTS = (
    Block(
        "assignment",
        "in place",
        """
        y = x.clone()
        $change
        return y
        """,
        choices={
            "change": (
                "y += 0.1", "y.mul_(0.5)", "F.relu(y, inplace=True)", "y[:, 0] *= 0.5",
                "y[:, : $c // 2] = F.relu(y[:, : $c // 2])", "y[..., 1:, :] -= x[..., :-1, :]",
                "y[:, 1:3, ::2] = 0.25", "y[y < 0] = 0.0", "y.clamp_(-0.5, 0.5)",
                "y[:, -1] = x[:, 0] + x[:, 1]", "y[:, :, :, 1:-1] = x[:, :, :, 2:]",
                "y.masked_fill_(y > 0.5, 0.5)", "y.copy_(x.flip(1)).add_(x)",
            )
        },
    ),
    Block(
        "assignment",
        "filled piece by piece",
        """
        y = x.new_zeros(x.shape)
        y[:, ::2] = self.f(x)[:, ::2]
        y[:, 1::2] = x[:, 1::2]
        return y
        """,
        CONVOLVED,
    ),
    Block(
        "assignment",
        "scale of the layer",
        "return self.f(x).mul_(self.scale)",
        """
        self.f = nn.Conv2d($c, $c, 3, padding=1)
        self.scale = nn.Parameter(torch.rand(1, $c, 1, 1))
        """,
    ),
)  # fmt: skip
"""Changes in place and assignments to slices."""
