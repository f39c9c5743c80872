"""Measurement of a network's receptive field and pixel grid, with proof on a crop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from edgeexpo.spec import TensorSpec

GRID_MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Multiples that are tried as the network's grid, in pixels."""

CELLS = 5
"""Smallest number of grid cells along each side of a probe, if the largest size allows it."""

TOLERANCE = 1e-9
"""Largest difference between crop and whole picture, in float64, that counts as equal."""

_FAILURES = (RuntimeError, ValueError, IndexError, AssertionError, TypeError)


@dataclass(frozen=True)
class Footprint:
    """The facts about a network that tiling needs.

    Attributes:
        halo: Radius of the receptive field in pixels, a multiple of ``multiple``. ``None`` when no
            crop reproduces the whole picture (global branch, fixed size, output of another size).
        multiple: Number of pixels of which heights and widths must be multiples.
    """

    halo: int | None
    multiple: int


def measure_footprint(
    module: torch.nn.Module, inputs: Sequence[TensorSpec], largest: tuple[int, int]
) -> Footprint:
    """Measure the halo of ``module`` by gradient support, and prove it on a crop.

    The grids in :data:`GRID_MULTIPLES` are tried in turn. The gradient of a centre cell of the
    output with respect to the inputs gives the radius. A crop with that halo, shifted by one grid
    step, must then give the same pixels as the whole picture, to :data:`TOLERANCE` in float64.

    Args:
        module: Module that takes one NCHW tensor for each input spec and returns one NCHW tensor.
        inputs: Specs of the inputs.
        largest: Largest (height, width) that will be exported. Probes are not larger.

    Returns:
        The first footprint that is proven, or ``Footprint(None, 1)``.
    """
    double = copy.deepcopy(module).double().eval()
    for multiple in GRID_MULTIPLES:
        cells = max(CELLS, 160 // multiple) | 1
        sides = tuple(min(cells, side // multiple) * multiple for side in largest)
        if min(sides) < 3 * multiple or min(sides) < 16:
            continue
        try:
            halo = _support(double, inputs, (sides[0], sides[1]), multiple)
            if halo is not None and _crop_agrees(
                double, inputs, (sides[0], sides[1]), halo, multiple
            ):
                return Footprint(halo, multiple)
        except _FAILURES:
            continue
    return Footprint(None, 1)


def _pictures(inputs: Sequence[TensorSpec], size: tuple[int, int], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.rand(1, spec.channels, *size, generator=generator, dtype=torch.float64)
        for spec in inputs
    ]


def _support(
    module: torch.nn.Module, inputs: Sequence[TensorSpec], size: tuple[int, int], multiple: int
) -> int | None:
    """Return the radius of the input pixels that reach one output cell.

    ``None`` means that the radius fills the probe, or that the output has another size.
    """
    top, left = (side // multiple // 2 * multiple for side in size)
    reached = torch.zeros(size, dtype=torch.bool)
    for seed in range(3):
        pictures = [p.requires_grad_() for p in _pictures(inputs, size, seed)]
        output = module(*pictures)
        if output.shape[-2:] != size:
            return None
        cell = output[..., top : top + multiple, left : left + multiple]
        weights = torch.rand(cell.shape, dtype=torch.float64) + 0.5
        gradients = torch.autograd.grad((cell * weights).sum(), pictures, allow_unused=True)
        for gradient in gradients:
            if gradient is not None:
                reached |= gradient.abs().sum((0, 1)) > 0
    rows, columns = (reached.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return 0
    low, high = (
        int(min(rows[0] - top, columns[0] - left)),
        int(max(rows[-1] - top, columns[-1] - left)),
    )
    radius = max(-low, high - (multiple - 1), 0)
    radius = -(-radius // multiple) * multiple
    room = min(top, left, size[0] - top - multiple, size[1] - left - multiple)
    return radius if radius < room else None


def _crop_agrees(
    module: torch.nn.Module,
    inputs: Sequence[TensorSpec],
    size: tuple[int, int],
    halo: int,
    multiple: int,
) -> bool:
    pictures = _pictures(inputs, size, 7)
    top = left = multiple
    bottom, right = size
    with torch.no_grad():
        whole = module(*pictures)
        crop = module(*(p[..., top:bottom, left:right] for p in pictures))
    difference = (whole[..., top + halo :, left + halo :] - crop[..., halo:, halo:]).abs()
    return bool(difference.numel() and difference.max() <= TOLERANCE)
