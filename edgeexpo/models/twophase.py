"""Two-phase progressive exposure fusion: a UNet makes an intermediate, attention refines it.

The networks follow Yu-Fu Huang's thesis slides (advisor Yung-Yu Chuang). Phase 1 computes
``I_inter = UNet(I_u, I_o)`` and is then frozen. Phase 2 computes
``I_final = AMNet(I_u, I_inter, I_o)``. The same target supervises both phases.

The slides give the kinds of blocks, but not their widths, which are ours. AMNet has the topology of
AHDRNet (Yan et al., CVPR 2019), with the intermediate as its reference. The slides' stride-1
transposed convolution is a 3x3 convolution here, which represents the same functions and which
every target lowers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from edgeexpo.models.full_size import full_size_stage
from edgeexpo.models.layers import conv3, double, initialise
from edgeexpo.models.zoo import preset_named
from edgeexpo.spec import ModelSpec, TensorSpec

TWOPHASE_SLOPE = 0.2
"""Negative slope of the leaky ReLUs."""

TWOPHASE_LONGEST = 256
"""Longest side, in pixels, at which a network sees the whole picture, as in training."""


@dataclass(frozen=True)
class TwoPhaseShape:
    """Widths of a preset.

    Attributes:
        width: Channels of the UNet at full size. Lower levels have two and four times as many.
        attention: Channels of AMNet. 0 leaves phase 2 out.
        growth: Channels that each layer of a dense block adds.
        layers: Number of layers in a dense block.
        blocks: Number of dense blocks.
        intermediate: ``"unet"`` or ``"mean"``. ``"mean"`` is the ablation whose AMNet sees the
            mean of the frames instead of the output of phase 1.
    """

    width: int
    attention: int = 0
    growth: int = 0
    layers: int = 0
    blocks: int = 0
    intermediate: str = "unet"


FULL = TwoPhaseShape(width=64, attention=64, growth=32, layers=5, blocks=3)
"""Shape of the full preset."""

MOBILE = TwoPhaseShape(width=32, attention=32, growth=16, layers=3, blocks=2)
"""Shape of the mobile preset."""

PRESETS: Mapping[str, TwoPhaseShape] = MappingProxyType(
    {
        "twophase-mobile": MOBILE,
        "twophase-full": FULL,
        "twophase-unet-mobile": TwoPhaseShape(width=32),
        "twophase-unet-full": TwoPhaseShape(width=64),
        "twophase-mean-mobile": TwoPhaseShape(0, 32, 16, 3, 2, intermediate="mean"),
    }
)
"""Presets by name.

``-unet-`` is phase 1 alone, and ``-mean-`` is phase 2 on the mean of the frames."""


class UNet(nn.Module):
    """The network of phase 1: two halvings, four dilated convolutions, two doublings, a sigmoid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        b = width
        self.e1a, self.e1b = conv3(6, b), conv3(b, b)
        self.e2a, self.e2b = conv3(b, 2 * b, stride=2), conv3(2 * b, 2 * b)
        self.e3a, self.e3b = conv3(2 * b, 4 * b, stride=2), conv3(4 * b, 4 * b)
        self.middle = nn.ModuleList([conv3(4 * b, 4 * b, dilation=d) for d in (2, 4, 8, 16)])
        self.up2, self.d2 = double(4 * b, 2 * b, 4), conv3(4 * b, 2 * b)
        self.up1, self.d1 = double(2 * b, b, 4), conv3(2 * b, b)
        self.out = conv3(b, 3)
        self.activation = nn.LeakyReLU(TWOPHASE_SLOPE)
        initialise(self, TWOPHASE_SLOPE, self.out)

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """Fuse two frames to one picture.

        All are Nx3xHxW, sRGB-encoded, [0, 1], with H and W multiples of 4.
        """
        act = self.activation
        e1 = act(self.e1b(act(self.e1a(torch.cat([under, over], dim=1)))))
        e2 = act(self.e2b(act(self.e2a(e1))))
        x = act(self.e3b(act(self.e3a(e2))))
        for layer in self.middle:
            x = act(layer(x))
        x = act(self.d2(torch.cat([act(self.up2(x)), e2], dim=1)))
        x = act(self.d1(torch.cat([act(self.up1(x)), e1], dim=1)))
        return torch.sigmoid(self.out(x))


class DenseBlock(nn.Module):
    """A dilated residual dense block (AHDRNet).

    Dilated 3x3 layers add ``growth`` channels each. A 1x1 convolution merges them, and the input
    is added.
    """

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [conv3(width + i * growth, growth, dilation=2) for i in range(layers)]
        )
        self.merge = nn.Conv2d(width + layers * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for NxCxHxW features, of the same shape."""
        grown = x
        for layer in self.layers:
            grown = torch.cat([grown, torch.relu(layer(grown))], dim=1)
        return x + torch.as_tensor(self.merge(grown))


class Attention(nn.Module):
    """A layer that weights one frame's features by (0, 1), given the intermediate's features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv3(2 * width, 2 * width), conv3(2 * width, width)
        self.activation = nn.LeakyReLU(TWOPHASE_SLOPE)

    def forward(self, frame: Tensor, intermediate: Tensor) -> Tensor:
        """Return the weighted features of ``frame``. All features are NxCxHxW."""
        pair = torch.cat([frame, intermediate], dim=1)
        return frame * torch.sigmoid(self.second(self.activation(self.first(pair))))


class AMNet(nn.Module):
    """The network of phase 2: attention against the intermediate, dense blocks, a sigmoid."""

    def __init__(self, width: int, growth: int, layers: int, blocks: int) -> None:
        super().__init__()
        self.shared = conv3(3, width)
        self.attend_under, self.attend_over = Attention(width), Attention(width)
        self.merge = conv3(3 * width, width)
        self.dense = nn.ModuleList([DenseBlock(width, growth, layers) for _ in range(blocks)])
        self.squeeze = nn.Conv2d(blocks * width, width, 1)
        self.body, self.tail, self.out = conv3(width, width), conv3(width, width), conv3(width, 3)
        self.activation = nn.LeakyReLU(TWOPHASE_SLOPE)
        initialise(self, TWOPHASE_SLOPE, self.out)

    def forward(self, under: Tensor, intermediate: Tensor, over: Tensor) -> Tensor:
        """Fuse three pictures, Nx3xHxW each, sRGB-encoded, [0, 1], to one of the same kind."""
        act = self.activation
        f_under, f_middle, f_over = (act(self.shared(p)) for p in (under, intermediate, over))
        weighted = (self.attend_under(f_under, f_middle), f_middle)
        x = self.merge(torch.cat([*weighted, self.attend_over(f_over, f_middle)], dim=1))
        outputs = []
        for block in self.dense:
            x = block(x)
            outputs.append(x)
        x = self.body(self.squeeze(torch.cat(outputs, dim=1))) + f_middle
        return torch.sigmoid(self.out(self.tail(x)))


class TwoPhase(nn.Module):
    """A network of both phases, or of one phase, as its :class:`TwoPhaseShape` says."""

    def __init__(self, shape: TwoPhaseShape) -> None:
        super().__init__()
        self.phase1 = UNet(shape.width) if shape.intermediate == "unet" else None
        self.phase2 = (
            AMNet(shape.attention, shape.growth, shape.layers, shape.blocks)
            if shape.attention
            else None
        )

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """Fuse two frames to one picture.

        All are Nx3xHxW, sRGB-encoded, [0, 1], with H and W multiples of 4.
        """
        mean = (under + over) * 0.5
        intermediate = mean if self.phase1 is None else self.phase1(under, over)
        if self.phase2 is None:
            return torch.as_tensor(intermediate)
        return torch.as_tensor(self.phase2(under, intermediate, over))


def build(preset: str) -> TwoPhase:
    """Build the network of a preset, initialised, without trained weights."""
    return TwoPhase(preset_named(PRESETS, preset))


def spec(preset: str) -> ModelSpec:
    """Return the spec of a preset, with its tensors and stages.

    The networks are convolutional, but they learn tone over a part of the *scene*. They flatten a
    picture that is several times as large as the training scenes. So they see the whole picture at
    a bounded size, and their change is applied at full size.
    """
    return ModelSpec(
        name=preset.removesuffix("-mobile"),
        task="fuse a dark and a bright frame (two-phase progressive fusion)",
        frames=("under", "over"),
        inputs=(TensorSpec("under"), TensorSpec("over")),
        outputs=(TensorSpec("fused"),),
        halo=None,
        multiple=4,
        longest=TWOPHASE_LONGEST,
        back=full_size_stage("render", frames=2),
    )
