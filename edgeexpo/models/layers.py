"""Layers that several networks share, in forms that every target lowers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SELU_ALPHA = 1.6732632423543772
"""Alpha of SELU."""

SELU_SCALE = 1.0507009873554805
"""Scale of SELU."""


class Selu(nn.Module):
    """SELU as ``scale * elu(x, alpha)``, because XNNPACK's ELU ignores a fused SELU's scale."""

    def __init__(self) -> None:
        super().__init__()
        self.elu = nn.ELU(alpha=SELU_ALPHA)

    def forward(self, x: Tensor) -> Tensor:
        """Return :func:`torch.nn.functional.selu` of ``x``, for any shape."""
        return SELU_SCALE * torch.as_tensor(self.elu(x))


class ResidualBlock(nn.Module):
    """A residual block, ``x + conv(relu(conv(x)))``, of 3x3 convolutions without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv3(width, width)
        self.second = conv3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for NxCxHxW features, of the same shape."""
        return x + torch.as_tensor(self.second(torch.relu(self.first(x))))


def conv3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps the size, or halves it with stride 2."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation)


def double(inputs: int, outputs: int, kernel: int) -> nn.ConvTranspose2d:
    """Build a transposed convolution of kernel 3 or 4 that doubles the size."""
    return nn.ConvTranspose2d(
        inputs, outputs, kernel, stride=2, padding=1, output_padding=kernel % 2
    )


def initialise(module: nn.Module, slope: float, last: nn.Module) -> None:
    """Initialise convolutions by He's method for (leaky) ReLU, with zero biases.

    Weights of transposed convolutions are multiplied by their stride. Weights of the ``last`` layer
    are divided by ten, so that a sigmoid or tanh after it starts unsaturated.

    Args:
        module: Network to initialise in place.
        slope: Negative slope of the leaky ReLUs, 0 for ReLU.
        last: Last layer of the network.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            inputs = layer.in_channels * layer.weight[0, 0].numel()
            nn.init.normal_(layer.weight, 0.0, (2 / (1 + slope**2) / inputs) ** 0.5)
            if isinstance(layer, nn.ConvTranspose2d):
                with torch.no_grad():
                    layer.weight *= layer.stride[0]
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    with torch.no_grad():
        torch.as_tensor(last.weight).mul_(0.1)
