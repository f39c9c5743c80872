"""ExpandNet, which expands one 8-bit picture to relative linear radiance.

Follows D. Marnerides et al., Eurographics 2018. The network has a local, a dilated and a global
branch. The global branch sees the picture scaled to 256x256, which is a separate input here
(``thumbnail``). The runtime makes the thumbnail once for the whole picture, so that the other
branches can run on tiles. ``expandnet-full`` is the authors' network, with the weights' keys of
``dmarnerides/hdr-expandnet``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.models.layers import Selu
from edgeexpo.models.zoo import preset_named
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec

THUMBNAIL = 256
"""Height and width of the thumbnail, in pixels."""

HALO = 8
"""Halo of the local and dilated branches in pixels, of four 3x3 convolutions of dilation 2."""


@dataclass(frozen=True)
class ExpandNetShape:
    """The shape of an ExpandNet.

    Attributes:
        width: Channels of all branches. The local branch ends with twice as many.
        activation: ``"selu"`` or ``"relu"``.
        branches: Names of the branches that the network has.
    """

    width: int
    activation: str
    branches: tuple[str, ...] = ("local", "dilated", "global")


PRESETS: Mapping[str, ExpandNetShape] = MappingProxyType(
    {
        "expandnet-full": ExpandNetShape(64, "selu"),
        "expandnet-mobile": ExpandNetShape(32, "relu"),
        "expandnet-noglobal-mobile": ExpandNetShape(32, "relu", ("local", "dilated")),
        "expandnet-nodilated-mobile": ExpandNetShape(32, "relu", ("local", "global")),
        "expandnet-nolocal-mobile": ExpandNetShape(32, "relu", ("dilated", "global")),
    }
)
"""Presets by name. Each preset with ``no`` in its name is the ablation of one branch."""


class ExpandNet(nn.Module):
    """The ExpandNet network.

    Args:
        shape: Widths, activation and branches.

    Raises:
        UsageError: The activation is unknown.
    """

    def __init__(self, shape: ExpandNetShape) -> None:
        super().__init__()
        if shape.activation not in ("selu", "relu"):
            raise UsageError(f"activation is {shape.activation!r}; expected 'selu' or 'relu'")
        self.branches = shape.branches
        self._activation = Selu if shape.activation == "selu" else nn.ReLU
        w = shape.width
        merged = 0
        if "local" in shape.branches:
            self.local_net = nn.Sequential(self._layer(3, w), self._layer(w, 2 * w))
            merged += 2 * w
        if "dilated" in shape.branches:
            self.mid_net = nn.Sequential(
                self._layer(3, w, dilation=2),
                self._layer(w, w, dilation=2),
                self._layer(w, w, dilation=2),
                nn.Conv2d(w, w, 3, padding=2, dilation=2),
            )
            merged += w
        if "global" in shape.branches:
            downs = [self._layer(3 if i == 0 else w, w, stride=2) for i in range(6)]
            self.glob_net = nn.Sequential(*downs, nn.Conv2d(w, w, 4))
            merged += w
        self.end_net = nn.Sequential(
            nn.Sequential(nn.Conv2d(merged, w, 1), self._activation()), nn.Conv2d(w, 3, 1)
        )
        self._initialise()

    def _layer(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation)
        return nn.Sequential(convolution, self._activation())

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                gain = 1.0 if self._activation is Selu else 2.0**0.5
                fan_in = layer.weight[0].numel()
                nn.init.normal_(layer.weight, 0.0, gain / fan_in**0.5)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, picture: Tensor, thumbnail: Tensor) -> Tensor:
        """Expand the range of a picture.

        Args:
            picture: Nx3xHxW, display-encoded, [0, 1].
            thumbnail: Nx3x256x256, the whole picture scaled, in the same encoding and range.

        Returns:
            Nx3xHxW, relative linear radiance, (0, 1).
        """
        features = self.local(picture)
        if "global" in self.branches:
            spread = self.glob_net(thumbnail).expand(-1, -1, picture.shape[2], picture.shape[3])
            features.append(spread)
        return torch.sigmoid(self.end_net(torch.cat(features, dim=1)))

    def deployable(self) -> nn.Module:
        """Return a :class:`SplitExpandNet`, the same function without the broadcast copy."""
        return SplitExpandNet(self)

    def local(self, picture: Tensor) -> list[Tensor]:
        """Return the features of the local and dilated branches, NxCxHxW each."""
        names = {"local": "local_net", "dilated": "mid_net"}
        return [
            getattr(self, names[b])(picture) for b in ("local", "dilated") if b in self.branches
        ]


class SplitExpandNet(nn.Module):
    """An ExpandNet whose first fusing convolution is split, with its global part computed at 1x1.

    A 1x1 convolution of concatenated features is the sum of one convolution for each feature. The
    global features are equal at all pixels, so their convolution gives one vector, which is added.
    The split avoids ``expand``, which no target delegates.
    """

    def __init__(self, network: ExpandNet) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.end_net = nn.Sequential()
        first = cast(nn.Sequential, network.end_net[0])
        fuse = cast(nn.Conv2d, first[0])
        self.activation, self.out = first[1], network.end_net[1]
        weight = fuse.weight.detach()
        spread = network.glob_net[-1].out_channels if "global" in network.branches else 0
        inside = weight.shape[1] - cast(int, spread)
        self.pixel = _pointwise(weight[:, :inside], fuse.bias)
        self.vector = _pointwise(weight[:, inside:], None) if "global" in network.branches else None

    def forward(self, picture: Tensor, thumbnail: Tensor) -> Tensor:
        """Expand the range of a picture, as :meth:`ExpandNet.forward` does."""
        x = self.pixel(torch.cat(self.network.local(picture), dim=1))
        if self.vector is not None:
            x = x + self.vector(self.network.glob_net(thumbnail))
        return torch.sigmoid(self.out(self.activation(x)))


def _pointwise(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def build(preset: str) -> ExpandNet:
    """Build the network of a preset, initialised, without trained weights."""
    return ExpandNet(preset_named(PRESETS, preset))


def spec(preset: str) -> ModelSpec:
    """Return the spec of a preset, with its tensors and stages."""
    return ModelSpec(
        name=preset.removesuffix("-full"),
        task="expand one 8-bit picture to linear radiance (ExpandNet)",
        frames=("picture",),
        inputs=(TensorSpec("picture"), TensorSpec("thumbnail", size=(THUMBNAIL, THUMBNAIL))),
        outputs=(TensorSpec("radiance", transfer="linear"),),
        kind="hdr",
        halo=HALO,
        # The authors' code scales the thumbnail bilinearly without antialiasing.
        front=StageSpec(
            "thumbnail", {"height": THUMBNAIL, "width": THUMBNAIL, "method": "bilinear"}
        ),
    )
