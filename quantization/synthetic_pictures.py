"""Pictures that no photograph is like: what a network is compressed on besides photographs.

What is random is drawn from torch's global generator, which training seeds by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_Inputs = tuple[Tensor, ...]
"""A network's inputs, NxCxHxW each; all of one scene where there are several."""


CONTRAST = 0.6
"""Of fine texture, as a share of that between a picture's ends: no lens shows it in full, as it
does points of light, and what is harder than any picture costs the pictures."""


def flat(given: _Inputs) -> _Inputs:
    """For each input, 1xCxHxW of the colour that one of its pictures has at one place."""
    picture = int(torch.randint(len(given[0]), ()))
    place = torch.rand(2)
    return tuple(_colour(x, picture, place).expand(1, *x.shape[1:]) for x in given)


def pattern(given: _Inputs) -> _Inputs:
    """For each input, 1xCxHxW between the colours of the darkest and the brightest place.

    One of chirp, checks, sparks, slope and noise (:data:`PATTERNS`), drawn alike for all inputs.
    """
    picture = int(torch.randint(len(given[0]), ()))
    kind = int(torch.randint(len(PATTERNS), ()))
    seed = int(torch.randint(2**31, ()))

    def share(height: int, width: int) -> Tensor:
        return PATTERNS[kind](height, width, torch.Generator().manual_seed(seed))

    return between_ends(given, picture, share)


def between_ends(given: _Inputs, picture: int, share: Callable[[int, int], Tensor]) -> _Inputs:
    """For each input, 1xCxHxW between two colours: those that one of its pictures has at its
    darkest and at its brightest place, which are the same places in every input.

    Args:
        given: The inputs; dark and bright are of the first one.
        picture: Index in the batch.
        share: Height and width to HxW: 0 is the dark colour, 1 the bright one.
    """
    grey = given[0][picture].mean(dim=0)
    dark, bright = (_place(grey, int(index)) for index in (grey.argmin(), grey.argmax()))
    return tuple(
        torch.lerp(
            _colour(x, picture, dark), _colour(x, picture, bright), share(*x.shape[2:]).to(x.device)
        )
        for x in given
    )


def crop_of(given: _Inputs, others: Sequence[_Inputs]) -> _Inputs:
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
    return fainter(0.5 + 0.5 * torch.cos(finest * _uniform(generator) * radius))


def _checks(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Squares of 1 to 8 pixels."""
    return fainter(checks(height, width, int(torch.randint(1, 9, (), generator=generator))))


def fainter(share: Tensor) -> Tensor:
    """The same around its middle, with :data:`CONTRAST` of its contrast."""
    return 0.5 + CONTRAST * (share - 0.5)


def checks(height: int, width: int, side: int) -> Tensor:
    """HxW of squares of ``side`` pixels, 0 and 1 in turn."""
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
    return fainter(torch.rand(height, width, generator=generator))


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
