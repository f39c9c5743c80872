"""Perceptual loss on VGG19 features, with weights from a state dict that the user names.

The layers are those of the published systems: the outputs of relu1_1, relu2_1, relu3_1, relu4_1
and relu5_1. These are slices ending at 2, 7, 12, 21 and 30 of torchvision's ``features``. VGG19's
weights are neither shipped nor downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexpo.errors import WeightsError
from edgeexpo.models.weights import read_weights

CHANNELS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
"""Channels of VGG19's convolutions up to conv5_1, where 0 stands for a max pool."""

VGG_TAPS = (1, 6, 11, 20, 29)
"""Indices of the tapped layers in ``features``."""

MEAN = (0.485, 0.456, 0.406)
"""Mean of RGB values that VGG19's inputs are normalised by."""

DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of RGB values that VGG19's inputs are normalised by."""


class Perceptual(nn.Module):
    """Weighted sum of the mean L1 distances between VGG19 features.

    Args:
        weights: File of torchvision's ``vgg19`` state dict (``features.0.weight``...).
        layer_weights: One weight for each tapped layer.

    Raises:
        WeightsError: The file is not such a state dict.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Path, layer_weights: Sequence[float] = (1, 1, 1, 1, 1)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in CHANNELS:
            if outputs == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        state = read_weights(weights)
        wanted = self.state_dict()
        missing = [k for k in wanted if k not in state or state[k].shape != wanted[k].shape]
        if missing:
            raise WeightsError(f"{weights} is not a VGG19 state dict: it lacks {missing[0]}")
        self.load_state_dict({k: state[k] for k in wanted})
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False
        )
        self.layer_weights = tuple(layer_weights)
        self.requires_grad_(False).eval()

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of two pictures, each Nx3xHxW, sRGB-encoded, [0, 1], as a scalar."""
        total = predicted.new_zeros(())
        x, y = ((p - self.mean) / self.deviation for p in (predicted, truth))
        for index, layer in enumerate(self.features):
            x, y = layer(x), layer(y)
            if index in VGG_TAPS:
                weight = self.layer_weights[VGG_TAPS.index(index)]
                total = total + weight * torch.mean(torch.abs(x - y))
        return total
