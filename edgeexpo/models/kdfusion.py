"""Fusion with knowledge distillation: a teacher that reconstructs, students that fuse two frames.

The networks follow UCSD Group 33's project, which builds on KDDN (Hong et al., CVPR 2020). The
teacher is an auto-encoder of the ground truth. The student's trunk features are pulled towards the
teacher's features after residual blocks 2, 4 and 6, counted from one. There are three students:

- The baseline works on luminance (KDDN).
- Dense fusion concatenates low-level features and adds channel attention.
- The final student adds two strip-pooling modules (SPNet, Hou et al., CVPR 2020).

The networks take and give values in [0, 1]. Inside they compute with ``(x - 0.5) / 0.5`` and tanh,
as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn

from edgeexpo.models.full_size import full_size_stage
from edgeexpo.models.layers import ResidualBlock, conv3, double, initialise
from edgeexpo.models.strip_pooling import MixedPooling
from edgeexpo.models.zoo import preset_named
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec

ATTENTION_BLOCKS = 6
"""Number of residual blocks in the trunks of the teacher, dense fusion and the final student."""

KDFUSION_LONGEST = 256
"""Longest side, in pixels, at which a student sees the whole picture.

A side of 512 gains 0.2 dB for four times the work."""

DISTILLED_BLOCKS = (2, 4, 6)
"""Residual blocks, counted from one, whose outputs are distilled.

A public re-implementation counts from zero and so taps only the third and the fifth block."""


@dataclass(frozen=True)
class KDFusionShape:
    """The shape of a preset.

    Attributes:
        width: Channels of the hidden layers.
        kind: ``"teacher"``, ``"luma"`` (KDDN), ``"dense"`` or ``"final"``.
        up_kernel: Kernel size of the transposed convolutions, 3 or 4.
        groups: Number of residual-in-residual groups in the KDDN trunk.
        per_group: Number of blocks in each group.
        reduction: Ratio of the SE gate's channels to its hidden channels.
        pools: Windows of the pooling modules' average pools, in pixels at a quarter of the size.
    """

    width: int
    kind: str
    up_kernel: int = 4
    groups: int = 6
    per_group: int = 3
    reduction: int = 16
    pools: tuple[int, int] = (8, 16)


PRESETS: Mapping[str, KDFusionShape] = MappingProxyType(
    {
        "kdfusion-mobile": KDFusionShape(32, "final"),
        "kdfusion-full": KDFusionShape(64, "final"),
        "kdfusion-dense-mobile": KDFusionShape(32, "dense"),
        "kdfusion-dense-full": KDFusionShape(64, "dense"),
        "kdfusion-teacher-mobile": KDFusionShape(32, "teacher"),
        "kdfusion-teacher-full": KDFusionShape(64, "teacher"),
        "kdfusion-baseline-mobile": KDFusionShape(32, "luma", groups=6, per_group=1),
        "kdfusion-baseline-full": KDFusionShape(64, "luma"),
    }
)
"""Presets by name."""


class Teacher(nn.Module):
    """An auto-encoder of a picture: two halvings, six residual blocks, two doublings."""

    def __init__(self, shape: KDFusionShape) -> None:
        super().__init__()
        w = shape.width
        self.down1, self.down2 = conv3(3, w, stride=2), conv3(w, w, stride=2)
        self.trunk = nn.ModuleList([ResidualBlock(w) for _ in range(ATTENTION_BLOCKS)])
        self.up1, self.up2 = double(w, w, shape.up_kernel), double(w, w, shape.up_kernel)
        self.out = conv3(w, 3)
        initialise(self, 0.0, self.out)

    def features(self, picture: Tensor) -> list[Tensor]:
        """Return the features of a picture, Nx3xHxW, sRGB-encoded, [0, 1].

        The first features are low-level, NxCxH/2xW/2. The others are the outputs of the blocks in
        :data:`DISTILLED_BLOCKS`, NxCxH/4xW/4.
        """
        low = torch.relu(self.down1(_widen(picture)))
        return [low, *_trunk(self.trunk, torch.relu(self.down2(low)))]

    def forward(self, picture: Tensor) -> Tensor:
        """Reconstruct a picture: Nx3xHxW, sRGB-encoded, [0, 1], H and W multiples of 4."""
        x = self.features(picture)[-1]
        return _narrow(self.out(torch.relu(self.up2(torch.relu(self.up1(x))))))


class AttentionGate(nn.Module):
    """A gate of channel attention (SE), ``x * sigmoid(fc(relu(fc(mean(x)))))``.

    The two fully connected layers are 1x1 convolutions.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.squeeze, self.excite = nn.Conv2d(width, hidden, 1), nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for NxCxHxW features, of the same shape."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))


class Student(nn.Module):
    """The dense fusion student, and with ``kind="final"`` two pooling modules after the trunk."""

    def __init__(self, shape: KDFusionShape) -> None:
        super().__init__()
        w = shape.width
        self.base1, self.base2 = conv3(6, w), conv3(w, w)
        self.down1, self.down2 = conv3(w, w, stride=2), conv3(w, w, stride=2)
        self.trunk = nn.ModuleList([ResidualBlock(w) for _ in range(ATTENTION_BLOCKS)])
        modules = [MixedPooling(w, shape.pools) for _ in range(2)] if shape.kind == "final" else []
        self.pooling = nn.Sequential(*modules)
        self.up1, self.up2 = double(w, w, shape.up_kernel), double(2 * w, w, shape.up_kernel)
        self.gate = AttentionGate(2 * w, shape.reduction)
        self.recon, self.out = conv3(2 * w, w), conv3(w, 3)
        initialise(self, 0.0, self.out)

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """Fuse two frames, Nx3xHxW each, sRGB-encoded, [0, 1], to one picture of the same kind."""
        return self.with_features(under, over)[0]

    def with_features(self, under: Tensor, over: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the fused picture, and features of the same kinds as :meth:`Teacher.features`."""
        pair = _widen(torch.cat([under, over], dim=1))
        base = torch.relu(self.base2(torch.relu(self.base1(pair))))
        low = torch.relu(self.down1(base))
        taps = _trunk(self.trunk, torch.relu(self.down2(low)))
        x = torch.cat([torch.relu(self.up1(self.pooling(taps[-1]))), low], dim=1)
        x = self.gate(torch.cat([torch.relu(self.up2(x)), base], dim=1))
        return _narrow(self.out(torch.relu(self.recon(x)))), [low, *taps]


class AttentionBlock(nn.Module):
    """A block of spatially weighted residual channel attention (SWRCA), from KDDN."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.spatial, self.second = (conv3(width, width) for _ in range(3))
        self.channel = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for NxCxHxW features, of the same shape."""
        y = torch.relu(self.first(x))
        y = y * torch.sigmoid(self.spatial(y))
        scale = torch.sigmoid(self.channel(y.mean(dim=(2, 3), keepdim=True)))
        return x + torch.as_tensor(self.second(y)) * scale


class AttentionGroup(nn.Module):
    """A residual-in-residual group: attention blocks and a convolution, plus the input."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(AttentionBlock(width) for _ in range(blocks)))
        self.end = conv3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for NxCxHxW features, of the same shape."""
        return x + torch.as_tensor(self.end(self.blocks(x)))


class LumaStudent(nn.Module):
    """The KDDN student, which fuses luminances. The back stage adds chroma."""

    def __init__(self, shape: KDFusionShape) -> None:
        super().__init__()
        w = shape.width
        self.down1, self.down2 = conv3(2, w, stride=2), conv3(w, w, stride=2)
        self.trunk = nn.ModuleList(
            [AttentionGroup(w, shape.per_group) for _ in range(shape.groups)]
        )
        self.up1, self.up2 = double(w, w, shape.up_kernel), double(w, w, shape.up_kernel)
        self.out = conv3(w, 1)
        initialise(self, 0.0, self.out)

    def forward(self, under_y: Tensor, over_y: Tensor) -> Tensor:
        """Fuse two luminances, Nx1xHxW each, [0, 1], H and W multiples of 4, to one luminance."""
        return self.with_features(under_y, over_y)[0]

    def with_features(self, under_y: Tensor, over_y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the fused luminance, and features of the kinds of :meth:`Teacher.features`."""
        low = torch.relu(self.down1(_widen(torch.cat([under_y, over_y], dim=1))))
        taps = _trunk(self.trunk, torch.relu(self.down2(low)))
        x = torch.relu(self.up2(torch.relu(self.up1(taps[-1]))))
        return _narrow(self.out(x)), [low, *taps]


def _trunk(blocks: nn.ModuleList, x: Tensor) -> list[Tensor]:
    taps = []
    for number, block in enumerate(blocks, 1):
        x = block(x)
        if number in DISTILLED_BLOCKS:
            taps.append(x)
    return taps


def _widen(x: Tensor) -> Tensor:
    return x * 2.0 - 1.0


def _narrow(x: Tensor) -> Tensor:
    return torch.tanh(x) * 0.5 + 0.5


_KINDS: Mapping[str, type[Teacher] | type[Student] | type[LumaStudent]] = MappingProxyType(
    {"teacher": Teacher, "dense": Student, "final": Student, "luma": LumaStudent}
)


def build(preset: str) -> nn.Module:
    """Build the network of a preset, initialised, without trained weights."""
    chosen = preset_named(PRESETS, preset)
    return _KINDS[chosen.kind](chosen)


def spec(preset: str) -> ModelSpec:
    """Return the spec of a preset, with its tensors and stages."""
    chosen = preset_named(PRESETS, preset)
    name = preset.removesuffix("-mobile")
    if chosen.kind == "teacher":
        return ModelSpec(
            name=name,
            task="reconstruct a picture (teacher of the fusion students)",
            frames=("picture",),
            inputs=(TensorSpec("picture"),),
            outputs=(TensorSpec("picture_hat"),),
            kind="reconstruction",
            halo=4 * 2 * ATTENTION_BLOCKS + 16,
            multiple=4,
        )
    if chosen.kind == "luma":
        luma = partial(TensorSpec, channels=1, color="Y")
        return ModelSpec(
            name=name,
            task="fuse the luminances of a dark and a bright frame (KDDN)",
            frames=("under", "over"),
            inputs=(luma("under_y"), luma("over_y")),
            outputs=(luma("fused_y"),),
            halo=None,
            multiple=4,
            longest=KDFUSION_LONGEST,
            front=StageSpec("luma"),
            back=StageSpec("chroma"),
        )
    return ModelSpec(
        name=name,
        task="fuse a dark and a bright frame (distilled fusion)",
        frames=("under", "over"),
        inputs=(TensorSpec("under"), TensorSpec("over")),
        outputs=(TensorSpec("fused"),),
        halo=None,
        multiple=4 * max(chosen.pools) if chosen.kind == "final" else 4,
        longest=KDFUSION_LONGEST,
        back=full_size_stage("render", frames=2),
    )
