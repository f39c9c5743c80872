"""Measurement of which pictures a network takes and where they may be cut, with proof on tiles.

The network runs in float64. Nothing is taken from its structure, so that every module can be
measured.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch

from edgeexpo.errors import ModuleError, PictureError
from edgeexpo.imaging.raster import within
from edgeexpo.program.capture import SMALLEST_CAPTURE_SIDE, check_forward
from edgeexpo.runtime.tiling import plan_tiles, scaled
from edgeexpo.spec import LARGEST_SCALE, Footprint, SizeRange, TensorSpec

GRIDS = (1, 2, 4, 8, 16, 32, 64)
"""Multiples that are tried for the sizes that a network takes, and for the grid of its tiles."""

PROBE_SIDES = (64, 192, 448)
"""Sides in pixels of the pictures on which the receptive field is measured, one after the other.

The next is used if the receptive field is too large for one.
"""

TOLERANCE = 1e-9
"""Largest difference between tiles and whole picture, in float64, that counts as equal."""

_FAILURES = (RuntimeError, ValueError, IndexError, AssertionError, TypeError)
_REFUSALS = (*_FAILURES, ModuleError, PictureError)

Size = tuple[int, int]


def measure_footprint(
    module: torch.nn.Module, inputs: Sequence[TensorSpec], largest: Size
) -> Footprint:
    """Measure which sizes ``module`` takes and how far an output pixel looks.

    The receptive field is found by changing the picture outside a window and watching one cell of
    the output. Then pictures of several sizes run in tiles, as the runtime cuts them. The tiles
    must give the same pixels as the whole picture, to :data:`TOLERANCE`.

    Args:
        module: Module that takes one NCHW tensor for each input spec and returns one NCHW tensor.
        inputs: Specs of the inputs.
        largest: Largest (height, width) that will be exported.

    Returns:
        The first footprint that is proven. Its ``halo`` is ``None`` when none is, as for a network
        with a global branch or with a size of its own.

    Raises:
        ModuleError: ``forward`` fails at ``largest``, or its output has neither the size of the
            picture nor a multiple or a fraction of it.
    """
    network = _Double(module, inputs)
    scale = _scale(network, largest)
    multiple = _multiple(network, largest, scale)
    if multiple is None:
        return Footprint(None, scale=scale)
    extends = _refuses_others(network, multiple)
    whole = Footprint(None, multiple, extends, scale=scale)
    grids = [g for g in GRIDS if g % multiple == 0 and g % scale.denominator == 0]
    for probe in PROBE_SIDES:
        with contextlib.suppress(*_REFUSALS):
            if not _Reach(network, grids[0], probe, scale).beyond():
                return _tiled(network, whole, grids, probe)
        if min(largest) <= probe:
            break  # a halo that fills the probe leaves no room in the tiles
    return whole


def _tiled(network: _Double, whole: Footprint, grids: Sequence[int], probe: int) -> Footprint:
    """Return the footprint of the first grid whose tiles are proven, otherwise ``whole``."""
    for grid in grids:
        with contextlib.suppress(*_REFUSALS):
            reach = _Reach(network, grid, probe, whole.scale)
            widest = dataclasses.replace(whole, halo=reach.room, grid=grid)
            # With too wide a halo, only the grid can be wrong.
            if reach.beyond() or not _tiles_agree(network, widest, grid, count=1):
                continue
            footprint = dataclasses.replace(widest, halo=reach.radius())
            ragged = dataclasses.replace(footprint, ragged=True)
            if _tiles_agree(network, footprint, grid):
                off_grid = grid > whole.multiple and _tiles_agree(network, ragged, whole.multiple)
                return ragged if off_grid else footprint
    return whole


class _Double:
    """A network in float64 on random pictures; it gives the output as it is."""

    def __init__(self, module: torch.nn.Module, inputs: Sequence[TensorSpec]) -> None:
        self._module = copy.deepcopy(module).double().eval()
        self.inputs = inputs

    def __call__(self, *pictures: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return check_forward(self._module, tuple(p.double() for p in pictures)).double()

    def pictures(self, size: Size, seed: int) -> list[torch.Tensor]:
        """Return a picture for each input: noise around a random brightness, in [0, 1]."""
        generator = torch.Generator().manual_seed(seed)
        level = torch.rand(len(self.inputs), generator=generator, dtype=torch.float64)
        drawn = [
            torch.rand(1, spec.channels, *size, generator=generator, dtype=torch.float64)
            for spec in self.inputs
        ]
        return [p * 0.6 + 0.4 * float(v) for p, v in zip(drawn, level, strict=True)]


def _scale(network: _Double, size: Size) -> Fraction:
    """Return the output's size in units of the picture's."""
    made = network(*network.pictures(size, 0)).shape[-2:]
    scales = {Fraction(out, side) for out, side in zip(made, size, strict=True)}
    scale = scales.pop()
    if (
        scales
        or max(scale.numerator, scale.denominator) > LARGEST_SCALE
        or not (scale.numerator == 1 or scale.denominator == 1)
    ):
        raise ModuleError(
            f"forward returned a picture of {made[0]}x{made[1]} (HxW) for one of "
            f"{size[0]}x{size[1]}; expected the same size, or 2 to {LARGEST_SCALE} times or one "
            "2nd to one 16th of it: wrap the module so that it returns the picture alone"
        )
    return scale


def _multiple(network: _Double, largest: Size, scale: Fraction) -> int | None:
    """Return the smallest multiple all of whose sizes the network takes.

    ``None`` if the network takes no other size than ``largest``.
    """
    for multiple in GRIDS:
        if not any(side % multiple for side in largest) and all(
            _takes(network, size, scale) for size in _drawn_sizes(multiple, SMALLEST_CAPTURE_SIDE)
        ):
            return multiple
    return None


def _takes(network: _Double, size: Size, scale: Fraction) -> bool:
    expected = tuple(side * scale for side in size)
    try:
        return tuple(network(*network.pictures(size, 0)).shape[-2:]) == expected
    except _REFUSALS:
        return False


def _refuses_others(network: _Double, multiple: int) -> bool:
    """Return true if the network fails at sizes that are no multiples of ``multiple``."""
    for height, width in _drawn_sizes(multiple, SMALLEST_CAPTURE_SIDE):
        for size in ((height + multiple // 2, width), (height, width + 1)):
            with contextlib.suppress(*_REFUSALS):
                if multiple > 1:
                    network(*network.pictures(size, 0))
                    return False
    return True


def _drawn_sizes(multiple: int, least: int) -> Iterator[Size]:
    """Yield sizes that have no common divisor but ``multiple``, of at least ``least`` pixels."""
    low = max(2, -(-least // multiple))
    cells = ((low + 1, low + 6), (low + 4, low + 3), (low, low + 9), (2 * low + 3, low))
    for rows, columns in cells:
        yield rows * multiple, columns * multiple


class _Reach:
    """The distance in pixels from which the picture reaches one cell of the output.

    Args:
        network: The network.
        grid: Side of the cell in pixels of the picture.
        probe: Side of the pictures in pixels, about.
        scale: Size of the output in units of the picture's.

    Attributes:
        room: Distance of the cell from the borders of the probe, less one cell.
    """

    def __init__(self, network: _Double, grid: int, probe: int, scale: Fraction) -> None:
        cells = max(5, probe // grid) | 1
        self._network, self._grid = network, grid
        self._size = cells * grid, cells * grid
        self._start, self._stop = cells // 2 * grid, (cells // 2 + 1) * grid
        self._shown = slice(int(self._start * scale), int(self._stop * scale))
        self._cells: dict[int, torch.Tensor] = {}
        self.room = (cells // 2 - 1) * grid

    def beyond(self, radius: int | None = None) -> bool:
        """Return true if pixels farther than ``radius`` change the cell; :attr:`room` by default.

        Those pixels are exchanged for others in three pictures.
        """
        distance = self.room if radius is None else radius
        near = slice(max(0, self._start - distance), self._stop + distance)
        for seed in range(3):
            first = self._network.pictures(self._size, seed)
            if seed not in self._cells:
                self._cells[seed] = self._cell(first)
            mixed = self._network.pictures(self._size, seed + 50)
            for picture, own in zip(mixed, first, strict=True):
                picture[..., near, near] = own[..., near, near]
            if (self._cell(mixed) - self._cells[seed]).abs().max() > TOLERANCE:
                return True
        return False

    def radius(self) -> int:
        """Return the smallest radius, a multiple of the grid, beyond which nothing counts."""
        low, high = 0, self.room // self._grid
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.beyond(middle * self._grid) else (low, middle)
        return low * self._grid

    def _cell(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        return self._network(*pictures)[..., self._shown, self._shown]


def _tiles_agree(
    network: _Double, footprint: Footprint, multiple: int, count: int | None = None
) -> bool:
    """Return true if tiles give the whole picture, at ``count`` or all drawn sizes.

    The sizes are multiples of ``multiple``.
    """
    step, scale = footprint.multiple, footprint.scale
    smallest = -(-SMALLEST_CAPTURE_SIDE // step) * step
    # Tiles of several sizes are offered, as an artefact of any size offers them.
    least = max(smallest, 2 * (footprint.halo or 0)) + 2 * footprint.cell
    side = -(-least // step) * step
    sizes = SizeRange((side, side), (smallest, smallest), step)
    drawn = itertools.islice(_drawn_sizes(multiple, side), count)
    for seed, (height, width) in enumerate(drawn):
        pictures = network.pictures((height, width), seed + 7)
        whole = network(*pictures)
        for tile in plan_tiles(height, width, footprint, sizes):
            read, kept = tile.window, tile.kept(height, width)
            part = network(*(p[..., read[0], read[1]] for p in pictures))
            rows, columns = scaled(within(kept, read), scale)
            found = part[..., rows, columns]
            rows, columns = scaled(kept, scale)
            if (found - whole[..., rows, columns]).abs().max() > TOLERANCE:
                return False
    return True
