"""Pictures that no photograph is like: what a compressed network learns on besides photographs.

All draw from torch's global generator, which training seeds by step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]
"""A network's inputs, NxCxHxW each; all of one scene where there are several."""


def flat(given: Inputs) -> Inputs:
    """For each input, 1xCxHxW of the colour that one of its pictures has at one place."""
    picture = int(torch.randint(len(given[0]), ()))
    place = torch.rand(2)
    return tuple(_colour(x, picture, place).expand(1, *x.shape[1:]) for x in given)


def pattern(given: Inputs) -> Inputs:
    """For each input, 1xCxHxW between the colours of the darkest and the brightest place.

    One of chirp, checks, sparks, slope and noise (:data:`PATTERNS`), drawn alike for all inputs.
    """
    picture = int(torch.randint(len(given[0]), ()))
    grey = given[0][picture].mean(dim=0)
    dark, bright = (_place(grey, int(index)) for index in (grey.argmin(), grey.argmax()))
    kind = int(torch.randint(len(PATTERNS), ()))
    seed = int(torch.randint(2**31, ()))
    drawn = []
    for x in given:
        generator = torch.Generator().manual_seed(seed)
        share = PATTERNS[kind](x.shape[2], x.shape[3], generator).to(x.device)
        drawn.append(torch.lerp(_colour(x, picture, dark), _colour(x, picture, bright), share))
    return tuple(drawn)


def crop_of(given: Inputs, others: Sequence[Inputs]) -> Inputs:
    """A crop of one of ``others``, of the size of the given inputs: 1xCxHxW each."""
    chosen, place = others[int(torch.randint(len(others), ()))], torch.rand(2)
    cropped = []
    for x, other in zip(given, chosen, strict=True):
        for axis in (2, 3):
            size = x.shape[axis]
            start = int(place[axis - 2] * (other.shape[axis] - size + 1))
            other = other.narrow(axis, start, size)
        cropped.append(other.to(x.device))
    return tuple(cropped)


def _chirp(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Rings that get finer from a random centre on, at most to one cycle in two pixels."""
    down = torch.arange(height)[:, None] - height * _uniform(generator)
    across = torch.arange(width) - width * _uniform(generator)
    radius = down**2 + across**2
    finest = math.pi / (2 * float(radius.max().sqrt()))
    return 0.5 + 0.5 * torch.cos(finest * _uniform(generator) * radius)


def _checks(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Squares of 1 to 8 pixels."""
    side = int(torch.randint(1, 9, (), generator=generator))
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    return ((rows[:, None] + columns) % 2).float()


def _sparks(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Single bright pixels on a dark ground, on average one in 64."""
    return (torch.rand(height, width, generator=generator) < 1 / 64).float()


def _slope(height: int, width: int, generator: torch.Generator) -> Tensor:
    """From dark to bright along a random direction."""
    angle = 2 * math.pi * _uniform(generator)
    rows = torch.linspace(-1, 1, height)[:, None]
    plane = torch.sin(angle) * rows + torch.cos(angle) * torch.linspace(-1, 1, width)
    low, high = plane.min(), plane.max()
    return (plane - low) / (high - low)


def _noise(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Each pixel on its own."""
    return torch.rand(height, width, generator=generator)


PATTERNS = (_chirp, _checks, _sparks, _slope, _noise)
"""Height, width and generator to HxW in [0,1]: 0 is the dark colour, 1 the bright one."""


def _uniform(generator: torch.Generator) -> Tensor:
    return torch.rand((), generator=generator)


def _place(grey: Tensor, index: int) -> Tensor:
    """The middle of a pixel of HxW, as shares of height and width."""
    height, width = grey.shape
    return torch.tensor([(index // width + 0.5) / height, (index % width + 0.5) / width])


def _colour(x: Tensor, picture: int, place: Tensor) -> Tensor:
    """1xCx1x1: the colour of one picture of NxCxHxW at a place."""
    row, column = (int(u * side) for u, side in zip(place, x.shape[2:], strict=True))
    return x[picture : picture + 1, :, row : row + 1, column : column + 1]
