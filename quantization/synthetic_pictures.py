"""Synthetic pictures, unlike any photograph, that a network is trained on besides photographs.

They are used when a network is compressed. Random numbers come from torch's global generator, which
training seeds at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_Inputs = tuple[Tensor, ...]
"""Inputs of a network, NxCxHxW each. Several inputs show the same scenes."""


CONTRAST = 0.6
"""Contrast of fine texture, as a share of the contrast between a picture's darkest and brightest
place. A lens shows points of light in full contrast, but not fine texture. Training on texture that
is harder than any picture makes the pictures worse."""


def flat(given: _Inputs) -> _Inputs:
    """Return one flat picture for each input, 1xCxHxW.

    Its colour is that of a random picture of the batch at a random place, the same for all inputs.
    """
    picture = int(torch.randint(len(given[0]), ()))
    place = torch.rand(2)
    return tuple(_colour(x, picture, place).expand(1, *x.shape[1:]) for x in given)


def pattern(given: _Inputs) -> _Inputs:
    """Return one picture with a random pattern for each input, 1xCxHxW.

    The pattern is one of :data:`PATTERNS`, the same for all inputs. Its colours lie between those
    of the darkest and the brightest place of a random picture of the batch.
    """
    picture = int(torch.randint(len(given[0]), ()))
    kind = int(torch.randint(len(PATTERNS), ()))
    seed = int(torch.randint(2**31, ()))

    def share(height: int, width: int) -> Tensor:
        return PATTERNS[kind](height, width, torch.Generator().manual_seed(seed))

    return between_ends(given, picture, share)


def between_ends(given: _Inputs, picture: int, share: Callable[[int, int], Tensor]) -> _Inputs:
    """Return one picture for each input, 1xCxHxW, that blends a dark and a bright colour.

    The colours are those of a picture of the batch at its darkest and at its brightest place. The
    places are found in the first input and used for every input.

    Args:
        given: The inputs, NxCxHxW each.
        picture: Index of the picture in the batch.
        share: Function from height and width to the HxW blend: 0 gives the dark colour, 1 the
            bright one.
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
    """Return a random crop of a random one of ``others``, 1xCxHxW for each input.

    Args:
        given: The inputs that give the size of the crop.
        others: Inputs of other pictures, 1xCxHxW each and at least as large.
    """
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
    """Draw rings that get finer from a random centre on, to at most one cycle in two pixels."""
    down = torch.arange(height)[:, None] - height * _uniform(generator)
    across = torch.arange(width) - width * _uniform(generator)
    radius = down**2 + across**2
    finest = math.pi / (2 * float(radius.max().sqrt()))
    return fainter(0.5 + 0.5 * torch.cos(finest * _uniform(generator) * radius))


def _checks(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw checks with squares of 1 to 8 pixels a side."""
    return fainter(checks(height, width, int(torch.randint(1, 9, (), generator=generator))))


def fainter(share: Tensor) -> Tensor:
    """Return a blend in [0,1] with its contrast around 0.5 reduced to :data:`CONTRAST`."""
    return 0.5 + CONTRAST * (share - 0.5)


def checks(height: int, width: int, side: int) -> Tensor:
    """Return an HxW checkerboard of 0 and 1, with squares of ``side`` pixels a side."""
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    return ((rows[:, None] + columns) % 2).float()


def _sparks(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw single bright pixels on a dark ground, on average one pixel in 64."""
    return (torch.rand(height, width, generator=generator) < 1 / 64).float()


def _slope(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw a ramp from dark to bright along a random direction."""
    angle = 2 * math.pi * _uniform(generator)
    rows = torch.linspace(-1, 1, height)[:, None]
    plane = torch.sin(angle) * rows + torch.cos(angle) * torch.linspace(-1, 1, width)
    low, high = plane.min(), plane.max()
    return (plane - low) / (high - low)


def _noise(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw uniform noise, independent for each pixel."""
    return fainter(torch.rand(height, width, generator=generator))


PATTERNS = (_chirp, _checks, _sparks, _slope, _noise)
"""Patterns: functions from height, width and generator to an HxW blend in [0,1].

0 is the dark colour, 1 the bright one.
"""


def _uniform(generator: torch.Generator) -> Tensor:
    return torch.rand((), generator=generator)


def _place(grey: Tensor, index: int) -> Tensor:
    """Return the middle of pixel ``index`` of an HxW picture, as shares of height and width."""
    height, width = grey.shape
    return torch.tensor([(index // width + 0.5) / height, (index % width + 0.5) / width])


def _colour(x: Tensor, picture: int, place: Tensor) -> Tensor:
    """Return the colour (1xCx1x1) of one picture of NxCxHxW at a place (shares of the sides)."""
    row, column = (int(u * side) for u, side in zip(place, x.shape[2:], strict=True))
    return x[picture : picture + 1, :, row : row + 1, column : column + 1]
