"""ExpoNet and ExpoNetDouble, which correct the exposure of one picture by encoder-decoders.

The networks follow Cai's project report (Stanford): six strided convolutions with batch
normalisation, and five transposed convolutions with dropout. Skips join every matching level, and
a sigmoid (RGB) or tanh (Lab) ends the network. The report does not give channels, slope and skip
mode. They follow the pix2pix generator, which matches the report's description.

Both networks run at a fixed low resolution. The runtime applies their *change* at full size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn

from edgeexpo.models.full_size import full_size_stage
from edgeexpo.models.layers import conv3, double, initialise
from edgeexpo.models.zoo import preset_named
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec

EXPONET_SLOPE = 0.2
"""Negative slope of the leaky ReLUs."""

THUMBNAIL_SIDE = 128
"""Height and width of the network's picture in pixels, as published."""

DROPOUT = (0.6, 0.6, 0.6, 0.3, 0.3)
"""Dropout probability of each of the five levels of a decoder, deepest first."""

CHANNEL_MULTIPLES = (1, 2, 4, 8, 8, 8)
"""Multiples of the base width that give the channels of the six encoder levels."""

BYPASS_WIDTH = 32
"""Width in channels of the decoders' outputs in ExpoNetDouble."""


@dataclass(frozen=True)
class ExpoNetShape:
    """The shape of a preset.

    Attributes:
        base: Channels of the first convolution.
        double: True for two networks back to back (ExpoNetDouble).
        bridge: True when the first network's encoder also feeds the second network's decoder.
        bypass: True when the input is concatenated with each decoder's output.
        color: ``"rgb"`` or ``"lab"`` (``L/50 - 1, a/128, b/128``).
    """

    base: int
    double: bool = False
    bridge: bool = True
    bypass: bool = True
    color: str = "rgb"


PRESETS: Mapping[str, ExpoNetShape] = MappingProxyType(
    {
        "exponet-mobile": ExpoNetShape(16),
        "exponet-full": ExpoNetShape(64),
        "exponet-lab-mobile": ExpoNetShape(16, color="lab"),
        "exponet-double-mobile": ExpoNetShape(16, double=True),
        "exponet-double-full": ExpoNetShape(64, double=True),
        "exponet-double-lab-mobile": ExpoNetShape(16, double=True, color="lab"),
        "exponet-double-nobypass-mobile": ExpoNetShape(16, double=True, bypass=False),
        "exponet-double-plain-mobile": ExpoNetShape(16, double=True, bridge=False, bypass=False),
    }
)
"""Presets by name.

``nobypass`` has no bypass, and ``plain`` has neither bypass nor bridge. They are the ablations of
the report's Table 1."""


class Encoder(nn.Module):
    """An encoder of six levels, each of which halves the size.

    Args:
        inputs: Channels of the input.
        widths: Channels of the six levels, finest first.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        sources = (inputs, *widths[:-1])
        self.levels = nn.ModuleList(
            [
                nn.Sequential(conv3(i, o, stride=2), nn.BatchNorm2d(o), nn.LeakyReLU(EXPONET_SLOPE))
                for i, o in zip(sources, widths, strict=True)
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode NxCxHxW, H and W multiples of 64, to six tensors of 1/2 to 1/64 of the size."""
        levels = []
        for level in self.levels:
            x = level(x)
            levels.append(x)
        return levels


class Decoder(nn.Module):
    """A decoder of five levels with skips and an output layer, each of which doubles the size.

    Args:
        widths: Channels of the encoder's six levels, finest first.
        sources: Number of encoders whose levels are skips.
        outputs: Channels of the output.
    """

    def __init__(self, widths: tuple[int, ...], sources: int, outputs: int) -> None:
        super().__init__()
        downward = widths[::-1]
        inputs = downward[0]
        ups = []
        for index, dropout in enumerate(DROPOUT):
            outputs_here = downward[index + 1]
            ups.append(
                nn.Sequential(
                    double(inputs, outputs_here, 3),
                    nn.BatchNorm2d(outputs_here),
                    nn.LeakyReLU(EXPONET_SLOPE),
                    nn.Dropout(dropout),
                )
            )
            inputs = outputs_here + sources * downward[index + 1]
        self.ups = nn.ModuleList(ups)
        self.last = double(inputs, outputs, 3)

    def forward(self, skips: list[list[Tensor]]) -> Tensor:
        """Decode the levels of all source encoders to NxCxHxW.

        Args:
            skips: One list of six levels for each source encoder, finest first. The deepest level
                of the first list is the decoder's input.
        """
        x = skips[0][-1]
        for index, up in enumerate(self.ups):
            x = torch.cat([up(x), *(levels[-2 - index] for levels in skips)], dim=1)
        return torch.as_tensor(self.last(x))


class ExpoNet(nn.Module):
    """One encoder-decoder.

    Args:
        base: Channels of the first convolution.
        color: Colours of the network, ``"rgb"`` with a sigmoid or ``"lab"`` with a tanh.
    """

    def __init__(self, base: int, color: str = "rgb") -> None:
        super().__init__()
        widths = tuple(base * m for m in CHANNEL_MULTIPLES)
        self.encoder = Encoder(3, widths)
        self.decoder = Decoder(widths, 1, 3)
        self.color = color
        initialise(self, EXPONET_SLOPE, self.decoder.last)

    def forward(self, small: Tensor) -> Tensor:
        """Correct a picture: Nx3xHxW in the network's colours, H and W multiples of 64."""
        return _head(self.decoder([self.encoder(small)]), self.color)


class ExpoNetDouble(nn.Module):
    """Two encoder-decoders back to back.

    Args:
        shape: Channels, connections and colours of the network.
    """

    def __init__(self, shape: ExpoNetShape) -> None:
        super().__init__()
        widths = tuple(shape.base * m for m in CHANNEL_MULTIPLES)
        between = BYPASS_WIDTH + (3 if shape.bypass else 0)
        self.first = Encoder(3, widths)
        self.first_up = Decoder(widths, 1, BYPASS_WIDTH)
        self.second = Encoder(between, widths)
        self.second_up = Decoder(widths, 2 if shape.bridge else 1, BYPASS_WIDTH)
        self.out = conv3(between, 3)
        self.bridge, self.bypass, self.color = shape.bridge, shape.bypass, shape.color
        self.activation = nn.LeakyReLU(EXPONET_SLOPE)
        initialise(self, EXPONET_SLOPE, self.out)

    def forward(self, small: Tensor) -> Tensor:
        """Correct a picture: Nx3xHxW in the network's colours, H and W multiples of 64."""
        first = self.first(small)
        middle = self._beside(self.activation(self.first_up([first])), small)
        second = self.second(middle)
        skips = [second, first] if self.bridge else [second]
        return _head(
            self.out(self._beside(self.activation(self.second_up(skips)), small)), self.color
        )

    def _beside(self, x: Tensor, small: Tensor) -> Tensor:
        return torch.cat([x, small], dim=1) if self.bypass else x


def _head(x: Tensor, color: str) -> Tensor:
    return torch.tanh(x) if color == "lab" else torch.sigmoid(x)


def build(preset: str) -> nn.Module:
    """Build the network of a preset, initialised, without trained weights."""
    chosen = preset_named(PRESETS, preset)
    return ExpoNetDouble(chosen) if chosen.double else ExpoNet(chosen.base, chosen.color)


def spec(preset: str) -> ModelSpec:
    """Return the spec of a preset, with its tensors and stages.

    The network's picture is :data:`THUMBNAIL_SIDE` pixels square.
    """
    color = preset_named(PRESETS, preset).color
    scaling = {"color": color, "method": "triangle"}
    tensor = partial(
        TensorSpec,
        size=(THUMBNAIL_SIDE, THUMBNAIL_SIDE),
        color="RGB" if color == "rgb" else "Lab",
        value_range=(0.0, 1.0) if color == "rgb" else (-1.0, 1.0),
    )
    return ModelSpec(
        name=preset.removesuffix("-mobile"),
        task="correct the exposure of one picture (ExpoNet)",
        frames=("picture",),
        inputs=(tensor("small"),),
        outputs=(tensor("small_hat"),),
        halo=None,
        multiple=64,
        front=StageSpec("resize", {"height": THUMBNAIL_SIDE, "width": THUMBNAIL_SIDE, **scaling}),
        back=full_size_stage("render", frames=1, **scaling),
        kind="correction",
    )
