"""LRL, a residual network that repairs an interpolated exposure.

Follows C. Zheng, Z. Li, Y. Yang, S. Wu, "Exposure interpolation via hybrid learning", ICASSP 2020.
The model-driven part (:mod:`edgeexpo.imaging.interpolation`) predicts ``y0``. The network learns
the remaining correction: ``y = y0 + f(y0)``.

The poster does not give the layers. They are the DnCNN-shaped layers of the authors' sister paper
(TCSVT 31(4), 2021). The default activation is ReLU, which every INT8 kernel library has.
``activation="prelu"`` is that of the sister paper. Single fp32 PReLUs have crashed a runtime, so
PReLU is not offered in INT8.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypedDict

import torch
from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.models.full_size import fusion_stage
from edgeexpo.models.zoo import preset_named
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec


class LRLShape(TypedDict):
    """The arguments of :class:`LRLNet` that a preset sets."""

    width: int
    depth: int
    batch_norm: bool


PRESETS: Mapping[str, LRLShape] = MappingProxyType(
    {
        "lrl-8": LRLShape(width=64, depth=8, batch_norm=False),
        "lrl-8-w32": LRLShape(width=32, depth=8, batch_norm=False),
        "lrl-mobile": LRLShape(width=24, depth=6, batch_norm=False),
        "lrl-3": LRLShape(width=64, depth=3, batch_norm=False),
        "lrl-23": LRLShape(width=64, depth=23, batch_norm=True),
    }
)
"""Presets by name.

``lrl-8`` is the default, and ``lrl-mobile`` is for drones and small phones. ``lrl-3`` computes the
network of the sister paper's released code. ``lrl-23`` is the network that this code evidently
meant."""

_ALIASES: Mapping[str, str] = MappingProxyType({"lrl": "lrl-8"})


class LRLNet(nn.Module):
    """A network of ``depth`` 3x3 convolutions whose output is added to the input.

    Args:
        width: Channels of the hidden layers.
        depth: Number of convolutions, at least 2. It is also the halo in pixels.
        activation: ``"relu"`` or ``"prelu"`` (one slope for each channel, initially 0.1).
        batch_norm: True for batch normalisation after every middle convolution. It must be folded
            before export.

    Raises:
        UsageError: The activation is unknown, or there are fewer than two convolutions.
    """

    def __init__(
        self, width: int = 64, depth: int = 8, activation: str = "relu", batch_norm: bool = False
    ) -> None:
        super().__init__()
        if activation not in ("relu", "prelu"):
            raise UsageError(f"activation is {activation!r}; expected 'relu' or 'prelu'")
        if depth < 2:
            raise UsageError(f"depth is {depth}; expected at least 2 convolutions")
        layers: list[nn.Module] = []
        for index in range(depth - 1):
            normalised = batch_norm and index > 0
            layers.append(nn.Conv2d(3 if index == 0 else width, width, 3, padding=1))
            if normalised:
                layers.append(nn.BatchNorm2d(width, eps=1e-3))
            layers.append(nn.ReLU() if activation == "relu" else nn.PReLU(width, init=0.1))
        layers.append(nn.Conv2d(width, 3, 3, padding=1))
        self.body = nn.Sequential(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise convolutions by He's method, and the last one to zero.

        So the network starts as the identity.
        """
        convolutions = [m for m in self.body if isinstance(m, nn.Conv2d)]
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        nn.init.zeros_(convolutions[-1].weight)

    def correction(self, y0: Tensor) -> Tensor:
        """Return the correction ``f(y0)`` of Nx3xHxW ``y0``, Nx3xHxW, about [-0.3, 0.3]."""
        result: Tensor = self.body(y0)
        return result

    def forward(self, y0: Tensor) -> Tensor:
        """Repair an interpolated exposure.

        Args:
            y0: Nx3xHxW, sRGB-encoded, [0, 1].

        Returns:
            Nx3xHxW, sRGB-encoded. It is clipped to [0, 1] in eval mode. In training mode it is
            unclipped, so that there are gradients at the ends of the range.
        """
        y = y0 + self.body(y0)
        return y if self.training else torch.clamp(y, 0.0, 1.0)


def build(preset: str) -> LRLNet:
    """Build the network of a preset, initialised, without trained weights."""
    return LRLNet(**preset_named(PRESETS, _ALIASES.get(preset, preset)))


def spec(preset: str) -> ModelSpec:
    """Return the spec of a preset, with its tensors, halo, and front and back stages."""
    short = next((alias for alias, name in _ALIASES.items() if name == preset), preset)
    return ModelSpec(
        name=short,
        task="repair the exposure interpolated between two frames (LRL)",
        frames=("under", "over"),
        inputs=(TensorSpec("y0"),),
        outputs=(TensorSpec("y_hat"),),
        halo=preset_named(PRESETS, _ALIASES.get(preset, preset))["depth"],
        residual="y0",
        kind="interpolation",
        # The front stage rounds to 8-bit levels, so that quantising the network's input is exact.
        front=StageSpec(
            "intermediate",
            {"response": "fitted", "xi_lower": 5.0, "xi_upper": 250.0, "levels": 255},
        ),
        back=fusion_stage("render"),
    )
