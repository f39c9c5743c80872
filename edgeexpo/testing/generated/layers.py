"""Blocks of one layer: convolutions, normalisations, activations and parametrisations."""

from __future__ import annotations

from edgeexpo.testing.generated.block import CONVOLVED, Block

APPLIED = "return self.f(x)"
MODES = ("zeros", "reflect", "replicate", "circular")
FUNCTIONAL_MODES = ("constant", "reflect", "replicate", "circular")

CONVOLUTIONS = (
    Block(
        "convolution",
        "plain",
        APPLIED,
        "self.f = nn.Conv2d($c, $c, $k, padding=$k // 2, bias=$bias)",
        {"k": (1, 3, 5, 7), "bias": (True, False)},
    ),
    Block(
        "convolution",
        "grouped",
        APPLIED,
        "self.f = nn.Conv2d($c, $c, $k, padding=$k // 2, groups=$g)",
        {"k": (1, 3), "g": (2, 4)},
    ),
    Block(
        "convolution",
        "depthwise",
        "return self.g(F.$act(self.f(x)))",
        """
        self.f = nn.Conv2d($c, $c, $k, padding=$k // 2, groups=$c)
        self.g = nn.Conv2d($c, $c, 1)
        """,
        {"k": (3, 5, 7), "act": ("relu", "gelu", "relu6")},
    ),
    Block(
        "convolution",
        "widened",
        "return self.g(self.f(x))",
        """
        self.f = nn.Conv2d($c, 2 * $c, 3, padding=1, groups=$c)
        self.g = nn.Conv2d(2 * $c, $c, 1)
        """,
    ),
    Block(
        "convolution",
        "dilated",
        APPLIED,
        "self.f = nn.Conv2d($c, $c, 3, padding=$d, dilation=$d, padding_mode='$mode')",
        {"d": (2, 3), "mode": MODES},
    ),
    Block(
        "convolution",
        "separable",
        "return self.g(self.f(x))",
        """
        self.f = nn.Conv2d($c, $c, (1, $k), padding=(0, $k // 2))
        self.g = nn.Conv2d($c, $c, ($k, 1), padding=($k // 2, 0))
        """,
        {"k": (3, 5)},
    ),
    Block(
        "convolution",
        "padding mode",
        APPLIED,
        "self.f = nn.Conv2d($c, $c, $k, padding=$k // 2, padding_mode='$mode')",
        {"k": (3, 5), "mode": MODES},
    ),
    Block(
        "convolution",
        "same",
        APPLIED,
        "self.f = nn.Conv2d($c, $c, $k, padding='same', dilation=$d, padding_mode='$mode')",
        {"k": (2, 3, 4), "d": (1, 2), "mode": MODES},
    ),
    Block(
        "convolution",
        "padded by function",
        "return self.f(F.pad(x, $pad, mode='$mode'))",
        "self.f = nn.Conv2d($c, $c, 3)",
        {"pad": ((1, 1, 1, 1), (2, 0, 0, 2), (0, 2, 1, 1)), "mode": FUNCTIONAL_MODES},
    ),
    Block(
        "convolution",
        "padded by module",
        APPLIED,
        "self.f = nn.Sequential(nn.$pad(1), nn.Conv2d($c, $c, 3))",
        {"pad": ("ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d")},
    ),
    Block(
        "convolution",
        "strided and transposed",
        "return self.g(F.leaky_relu(self.f(x), 0.2))[..., : x.shape[2], : x.shape[3]]",
        """
        self.f = nn.Conv2d($c, $c, 3, stride=2, padding=1, groups=$g)
        self.g = nn.ConvTranspose2d($c, $c, $up, groups=$h)
        """,
        {
            "up": ("4, stride=2, padding=1", "2, stride=2", "3, 2, padding=1, output_padding=1"),
            "g": (1, 4),
            "h": (1, 2, 4),
        },
    ),
    Block(
        "convolution",
        "transposed",
        APPLIED,
        "self.f = nn.ConvTranspose2d($c, $c, $k, padding=$k // 2, groups=$g, bias=$bias)",
        {"k": (1, 3, 5), "g": (1, 2), "bias": (True, False)},
    ),
    Block(
        "convolution",
        "fixed kernel",
        "return F.conv2d(x, self.kernel.repeat($c, 1, 1, 1), padding=1, groups=$c)",
        """
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", (row[:, None] * row[None]).view(1, 1, 3, 3))
        """,
    ),
)
"""Convolutions of every kind."""

NORMALISATIONS = (
    Block(
        "normalisation",
        "batch",
        APPLIED,
        """
        self.f = nn.BatchNorm2d($c, affine=$affine)
        nn.init.uniform_(self.f.running_mean, -0.2, 0.2)
        nn.init.uniform_(self.f.running_var, 0.5, 1.5)
        """,
        {"affine": (True, False)},
    ),
    Block(
        "normalisation",
        "convolution and batch",
        "return F.relu(self.f(self.conv(x)))",
        """
        self.conv = nn.Conv2d($c, $c, 3, padding=1, bias=False)
        self.f = nn.BatchNorm2d($c)
        nn.init.uniform_(self.f.running_var, 0.5, 1.5)
        """,
    ),
    Block("normalisation", "group", APPLIED, "self.f = nn.GroupNorm($g, $c)", {"g": (1, 2, 4)}),
    Block(
        "normalisation",
        "instance",
        APPLIED,
        "self.f = nn.InstanceNorm2d($c, affine=$affine)",
        {"affine": (True, False)},
    ),
    Block(
        "normalisation",
        "layer over channels",
        "return self.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)",
        "self.f = nn.LayerNorm($c)",
    ),
    Block(
        "normalisation",
        "layer by hand",
        """
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * self.weight.view(1, -1, 1, 1)
        """,
        "self.weight = nn.Parameter(torch.rand($c) + 0.5)",
    ),
    Block(
        "normalisation",
        "root mean square",
        "return self.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)",
        "self.f = nn.RMSNorm($c, eps=1e-4)",
    ),
    Block("normalisation", "unit length", "return F.normalize(x, dim=1, eps=1e-3)"),
    Block(
        "normalisation",
        "statistics of the picture",
        "return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 0.1)",
    ),
)
"""Normalisations."""

ACTIVATIONS = (
    Block(
        "activation",
        "module",
        APPLIED,
        "self.f = nn.$act",
        {
            "act": (
                "ReLU()", "ReLU6()", "LeakyReLU(0.1)", "PReLU($c)", "PReLU()", "ELU()",
                "CELU(0.5)", "SELU()", "GELU()", "GELU('tanh')", "SiLU()", "Mish()",
                "Hardswish()", "Hardsigmoid()", "Hardtanh(-0.5, 0.7)", "Softplus()", "Softsign()",
                "Softshrink(0.1)", "Hardshrink(0.1)", "Tanhshrink()", "LogSigmoid()",
                "Threshold(0.05, 0.01)", "Sigmoid()", "Tanh()", "RReLU()", "Softmax(1)",
                "Softmin(1)", "LogSoftmax(1)",
            )
        },
    ),
    Block(
        "activation",
        "function",
        "return $act",
        choices={
            "act": (
                "x.clamp_min(0.0)", "torch.sin(x)", "torch.exp(-x * x)", "torch.erf(x)",
                "torch.sqrt(x.abs() + 1e-2)", "torch.where(x > 0, x, 0.1 * x)", "torch.atan(x)",
                "torch.log1p(x.abs())", "torch.maximum(x, 0.2 * x)", "x * torch.sigmoid(1.7 * x)",
                "x / (1 + x.abs())", "F.relu(x) ** 2", "torch.clamp(x, -0.5, 0.5)",
                "x.masked_fill(x < 0, 0.0)", "torch.cos(x)", "torch.rsqrt(x * x + 1)",
                "torch.sign(x) * torch.log1p(x.abs())", "torch.cosh(x.clamp(-1, 1))",
                "torch.pow(x.abs() + 0.1, 0.45)", "torch.logaddexp(x, -x)",
            )
        },
    ),
    Block(
        "activation",
        "gate",
        """
        a, b = self.f(x).chunk(2, dim=1)
        return a * $gate
        """,
        "self.f = nn.Conv2d($c, 2 * $c, 1)",
        {"gate": ("b", "torch.sigmoid(b)", "F.gelu(b)", "torch.tanh(b)", "F.hardsigmoid(b)")},
    ),
)  # fmt: skip
"""Activations, rare ones too."""

PARAMETRISATIONS = (
    Block(
        "parametrisation",
        "weight norm",
        APPLIED,
        "self.f = $norm(nn.Conv2d($c, $c, 3, padding=1))",
        {"norm": ("nn.utils.parametrizations.weight_norm", "nn.utils.weight_norm")},
    ),
    Block(
        "parametrisation",
        "spectral norm",
        APPLIED,
        "self.f = $norm(nn.$layer)",
        {
            "norm": ("nn.utils.parametrizations.spectral_norm", "nn.utils.spectral_norm"),
            "layer": ("Conv2d($c, $c, 3, padding=1)", "ConvTranspose2d($c, $c, 3, padding=1)"),
        },
    ),
    Block(
        "parametrisation",
        "weight standardisation",
        """
        w = self.f.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-3)
        return F.conv2d(x, w / ($c * 9) ** 0.5, self.f.bias, padding=1)
        """,
        CONVOLVED,
    ),
    Block(
        "parametrisation",
        "branches",
        "return F.conv2d(x, self.f.weight + F.pad(self.g.weight, (1, 1, 1, 1)), padding=1)",
        """
        self.f = nn.Conv2d($c, $c, 3, padding=1)
        self.g = nn.Conv2d($c, $c, 1)
        """,
    ),
    Block(
        "parametrisation",
        "one layer twice",
        "return self.f(F.relu(self.f(x)))",
        CONVOLVED,
    ),
)
"""Weights that are computed from parameters, or used twice."""
