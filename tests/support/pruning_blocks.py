"""Blocks for random networks, NxCxHxW to NxDxHxW, with every structure that pruning must follow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=options.get("dilation", 1), **options)


class Plain(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(conv(width, 24), nn.BatchNorm2d(24), nn.LeakyReLU(0.2))
        self.width = 24


class Dilated(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(conv(width, 16, dilation=2, bias=False), nn.PReLU(16))
        self.width = 16


class Skip(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.second = conv(width, 16), conv(16, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


class Dense(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * width + 16
        self.grow = conv(width, 16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, torch.tanh(self.grow(x)), torch.relu(x)], dim=1)


class BesideThePicture(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width + 3

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        return torch.cat([picture, x], dim=1)


class SharedLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layer = conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.layer(x)))


class TiedWeights(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.first, self.second = conv(width, 16), conv(width, 16)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.first(x)) * self.second(x)


class Transposed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.down = nn.Conv2d(width, 24, 3, 2, 1)
        self.up = nn.ConvTranspose2d(24, 16, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.elu(self.down(x)))


class Gate(nn.Module):
    """A squeeze-and-excitation gate with linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.squeeze, self.excite = nn.Linear(width, 16), nn.Linear(16, width)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.excite(torch.relu(self.squeeze(x.mean((2, 3)))))
        return x * torch.sigmoid(scale)[:, :, None, None]


class Strips(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.rows, self.columns = nn.Conv2d(width, 16, 1), nn.Conv2d(width, 16, 1)
        self.merge = nn.Conv2d(16, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        strips = self.rows(x.mean(2, keepdim=True)) + self.columns(x.mean(3, keepdim=True))
        coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear")
        return coarse + self.merge(torch.relu(strips))


class GlobalVector(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width + 16
        self.vector = nn.Conv2d(width, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        vector = self.vector(x.mean((2, 3), keepdim=True))
        return torch.cat([x, vector.expand(-1, -1, *x.shape[2:])], dim=1)


class PixelShuffle(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.down, self.up = conv(width, 16, stride=2), conv(16, 64)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.up(torch.relu(self.down(x))), 2)


class PixelUnshuffle(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.layer = conv(4 * width, 16)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.layer(F.pixel_unshuffle(x, 2)), scale_factor=2.0)


class Grouped(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 64
        self.inside, self.layer = nn.Conv2d(width, 32, 1), conv(32, 64, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(torch.relu(self.inside(x))))


class Depthwise(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 32
        self.inside, self.layer = nn.Conv2d(width, 16, 1), conv(16, 32, groups=16)
        self.again = nn.ConvTranspose2d(32, 32, 3, padding=1, groups=32)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(torch.relu(self.layer(self.inside(x))))


class SpatialAttention(nn.Module):
    """Attention by one channel that gates all others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layer = conv(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.layer(x))


class Chunks(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.both, self.left = conv(width, 32), conv(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.both(x).chunk(2, dim=1)
        return self.left(left) * torch.sigmoid(right)


class WrittenWidth(nn.Module):
    """A slice at a width that is written in ``forward``; pruning leaves it whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.layer = conv(width, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return x[:, :16] + x[:, 16:]


class WrittenSplit(WrittenWidth):
    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.split(self.layer(x), 16, dim=1)
        return left * right


class ChannelSoftmax(nn.Module):
    """A softmax over channels, which pruning leaves whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 16
        self.layer = conv(width, 16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.layer(x), dim=1)


BLOCKS = (
    Plain,
    Dilated,
    Skip,
    Dense,
    BesideThePicture,
    SharedLayer,
    TiedWeights,
    Transposed,
    Gate,
    Strips,
    GlobalVector,
    PixelShuffle,
    PixelUnshuffle,
    Grouped,
    Depthwise,
    SpatialAttention,
    Chunks,
    WrittenWidth,
    WrittenSplit,
    ChannelSoftmax,
)


class Chain(nn.Module):
    """A residual network of some blocks, with one convolution before and one after."""

    def __init__(self, blocks: list[type[nn.Module]]) -> None:
        super().__init__()
        self.first = conv(3, 24)
        width, made = 24, []
        for block in blocks:
            made.append(block(width))
            width = made[-1].width
        self.blocks = nn.ModuleList(made)
        self.before_last, self.last = conv(width, 32), conv(32, 3)

    def forward(self, picture: Tensor) -> Tensor:
        x = torch.relu(self.first(picture))
        for block in self.blocks:
            x = block(x, picture) if isinstance(block, BesideThePicture) else block(x)
        return picture + self.last(torch.relu(self.before_last(x)))


def chain(blocks: list[type[nn.Module]], seed: int = 0) -> Chain:
    """Return the network with random weights, statistics and biases, in eval mode."""
    torch.manual_seed(seed)
    network = Chain(blocks).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for value in (layer.weight, layer.bias, layer.running_mean):
                nn.init.normal_(value)
            nn.init.uniform_(layer.running_var, 0.5, 2)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.normal_(bias)
    return network
