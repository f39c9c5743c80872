"""Tiles: a picture of any size runs through an artefact of bounded size, with the same result.

A tile has a halo as wide as the network's receptive-field radius. On a border of the picture the
tile has no halo and ends with the picture. The network then pads exactly where it would pad the
whole picture. Only the core of a tile, the part without halo, is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from edgeexpo.errors import PictureError
from edgeexpo.imaging.raster import Raster, Window, reflected, sides, within, write_raster
from edgeexpo.imaging.scratch import scratch_array
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.spec import Footprint, SizeRange


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in pixels.

    Attributes:
        start, stop: Range of the input.
        keep_start, keep_stop: Range of the output that is kept.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Tile:
    """Rows and columns of one tile, in pixels of the (padded) picture."""

    rows: Span
    columns: Span

    @property
    def window(self) -> Window:
        """Window of the input."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    def kept(self, height: int, width: int) -> Window:
        """Return the window of the output that is kept, clipped to the picture before padding."""
        rows, columns = (
            slice(min(span.keep_start, side), min(span.keep_stop, side))
            for span, side in ((self.rows, height), (self.columns, width))
        )
        return rows, columns


def padded_size(height: int, width: int, footprint: Footprint, sizes: SizeRange) -> tuple[int, int]:
    """Return the (height, width) to which a picture is extended by reflection.

    The sides become multiples of ``footprint.multiple`` if the network itself takes no others. Only
    a network that looks at single pixels is also given pictures smaller than its artefact takes.
    Any other network would show the reflection near the borders.
    """
    low = (0, 0)
    if footprint.pointwise:
        low = _window(height, width, sizes) or sizes.smallest
    sides = (max(side, least) for side, least in zip((height, width), low, strict=True))
    step = footprint.multiple if footprint.extends else 1
    h, w = (-(-side // step) * step for side in sides)
    return h, w


def fits_whole(height: int, width: int, footprint: Footprint, sizes: SizeRange) -> bool:
    """Return true when an artefact takes a picture of this size in one run."""
    full = padded_size(height, width, footprint, sizes)
    if sizes.enumerated:
        return full in sizes.enumerated
    return all(
        low <= side <= high and side % sizes.multiple == 0
        for side, low, high in zip(full, sizes.smallest, sizes.largest, strict=True)
    )


def check_whole(height: int, width: int, footprint: Footprint, sizes: SizeRange) -> None:
    """Refuse a picture that a network without tiles cannot take whole.

    Raises:
        PictureError: :func:`fits_whole` is false.
    """
    if not fits_whole(height, width, footprint, sizes):
        why = "the network looks at all of it at once"
        raise PictureError(_refusal(height, width, why, _accepted(sizes)))


def plan_tiles(height: int, width: int, footprint: Footprint, sizes: SizeRange) -> list[Tile]:
    """Cut a picture into tiles that an artefact accepts, as evenly as possible.

    Args:
        height: Height of the padded picture (:func:`padded_size`), in pixels.
        width: Width of the padded picture, in pixels.
        footprint: Halo and grid of the network.
        sizes: The sizes that the artefact accepts, in pixels.

    Returns:
        The tiles, row by row; their cores cover the padded picture without overlap.

    Raises:
        PictureError: The picture is smaller than the artefact takes or off its grid, or it needs
            tiles and the network or the artefact allows none.
    """
    if fits_whole(height, width, footprint, sizes):
        whole = [Span(0, side, 0, side) for side in (height, width)]
        return [Tile(whole[0], whole[1])]
    if footprint.halo is None:
        check_whole(height, width, footprint, sizes)
    window = _window(height, width, sizes)
    _check_cuts(height, width, footprint, sizes, window)
    margin = -(-(footprint.halo or 0) // footprint.cell) * footprint.cell
    axes = [
        _equal(side, limit, margin, footprint.cell)
        if window
        else _even(side, limit, least, margin, footprint.cell)
        for side, limit, least in zip(
            (height, width), window or sizes.largest, sizes.smallest, strict=True
        )
    ]
    return [Tile(rows, columns) for rows in axes[0] for columns in axes[1]]


def _check_cuts(
    height: int,
    width: int,
    footprint: Footprint,
    sizes: SizeRange,
    window: tuple[int, int] | None,
) -> None:
    """Refuse a picture that no tiles of the artefact cover exactly."""
    least = window or sizes.smallest
    if height < least[0] or width < least[1]:
        why = "extending it would change the picture near its borders"
        expected = f"at least {least[0]}x{least[1]}{_steps(sizes.multiple)}"
        raise PictureError(_refusal(height, width, why, expected))
    cell = footprint.cell
    near = []
    for side, largest, start in zip((height, width), sizes.largest, window or (0, 0), strict=True):
        whole = side == start if window else side <= largest
        # A tile of one size that ends with the picture has to start on the grid.
        step = cell if window or not footprint.ragged else 1
        step = sizes.multiple if whole else math.lcm(step, sizes.multiple)
        near.append(max(start, start + (side - start) // step * step))
    if near != [height, width]:
        why = f"tiles of this network lie on a grid of {cell} pixels"
        raise PictureError(_refusal(height, width, why, f"for example {near[0]}x{near[1]}"))
    cut = [side > size for side, size in zip((height, width), window or sizes.largest, strict=True)]
    if (
        window
        and not footprint.ragged
        and any(size % cell for size, needed in zip(window, cut, strict=True) if needed)
    ):
        why = f"tiles of this network have to be multiples of {cell} pixels"
        raise PictureError(_refusal(height, width, why, _accepted(sizes)))


def _refusal(height: int, width: int, why: str, expected: str) -> str:
    return (
        f"the picture is {height}x{width} (HxW) and {why}; expected {expected}: crop or scale it, "
        f"export at `size` {height},{width}, or use another `target`"
    )


def _accepted(sizes: SizeRange) -> str:
    """Return the sizes that an artefact accepts, in words."""
    exact = sizes.enumerated or ((sizes.largest,) if sizes.smallest == sizes.largest else ())
    if exact:
        return "exactly " + ", ".join(f"{h}x{w}" for h, w in exact)
    low, high = (f"{h}x{w}" for h, w in (sizes.smallest, sizes.largest))
    return f"{low} to {high}{_steps(sizes.multiple)}"


def _steps(multiple: int) -> str:
    return f" in steps of {multiple}" if multiple > 1 else ""


class Output(Raster, Protocol):
    """A raster that can be written one window at a time."""

    def __setitem__(self, window: Window, pixels: np.ndarray, /) -> None: ...


def run_tiled(
    run: Callable[[Arrays], np.ndarray],
    inputs: Arrays,
    footprint: Footprint,
    sizes: SizeRange,
    fixed: Collection[str] = (),
) -> np.ndarray:
    """Do as :func:`run_windows` does, and return the output as an array, HxWxC float32."""
    output = run_windows(
        run, inputs, footprint, sizes, fixed, lambda shape: np.empty(shape, np.float32)
    )
    return np.asarray(output)


def run_windows(
    run: Callable[[Arrays], np.ndarray],
    inputs: Mapping[str, Raster],
    footprint: Footprint,
    sizes: SizeRange,
    fixed: Collection[str],
    store: Callable[[tuple[int, ...]], Output],
) -> Output:
    """Run a network over pictures of any size, tile by tile.

    Args:
        run: Function from NCHW float32 by input name to the NCHW output, of the tiles' height and
            width times ``footprint.scale``.
        inputs: HxWxC float32 by input name, all of one size except the ``fixed`` inputs.
        footprint: Halo, grid and scale of the network.
        sizes: The sizes that the artefact accepts, in pixels.
        fixed: Names of the inputs with their own size (a thumbnail). Every tile gets them whole.
            When all inputs are fixed, the network runs once and its output may have any size.
        store: Function that makes the output, HxWxC float32, from its shape.

    Returns:
        The output that ``store`` made.

    Raises:
        PictureError: As :func:`plan_tiles`. Or the network reduces its picture, whose height or
            width it cannot divide.
    """
    whole_inputs = {name: _tensor(inputs[name]) for name in fixed}
    pictures = {name: value for name, value in inputs.items() if name not in whole_inputs}
    if not pictures:
        return np.asarray(run(whole_inputs)[0].transpose(1, 2, 0))
    height, width = next(iter(pictures.values())).shape[:2]
    scale = footprint.scale
    if height % scale.denominator or width % scale.denominator:
        why = f"the network divides its size by {scale.denominator}"
        raise PictureError(_refusal(height, width, why, f"multiples of {scale.denominator}"))
    full = padded_size(height, width, footprint, sizes)
    padded = {name: reflected(value, *full) for name, value in pictures.items()}
    tiles = plan_tiles(*full, footprint, sizes)
    area = max(math.prod(sides(tile.window)) for tile in tiles)
    memory = {name: scratch_array((area * value.shape[2],)) for name, value in padded.items()}
    output: Output | None = None
    for tile in tiles:
        read, kept = tile.window, tile.kept(height, width)
        part = {n: _tensor(value, read, memory[n]) for n, value in padded.items()}
        result = run({**part, **whole_inputs})[0].transpose(1, 2, 0)
        if output is None:
            output = store((int(height * scale), int(width * scale), result.shape[2]))
        output[scaled(kept, scale)] = result[scaled(within(kept, read), scale)]
    assert output is not None  # a picture has at least one tile
    return output


def scaled(window: Window, scale: Fraction) -> Window:
    """Return the window of the output that belongs to a window of the picture."""
    if scale == 1:
        return window
    rows, columns = (slice(int(s.start * scale), int(s.stop * scale)) for s in window)
    return rows, columns


def _tensor(
    raster: Raster, window: Window | None = None, memory: np.ndarray | None = None
) -> np.ndarray:
    """Return a window, or all, of HxWxC as 1xCxHxW: contiguous, at the beginning of ``memory``."""
    height, width, channels = raster.shape
    window = window or (slice(0, height), slice(0, width))
    shape = (1, channels, *sides(window))
    tensor = scratch_array(shape) if memory is None else memory[: math.prod(shape)].reshape(shape)
    write_raster(raster, window, tensor[0].transpose(1, 2, 0))
    return tensor


def _window(height: int, width: int, sizes: SizeRange) -> tuple[int, int] | None:
    """Return the one size of every tile; ``None`` when tiles may have any size in the range."""
    offered = sizes.enumerated
    if sizes.smallest == sizes.largest:
        offered = (sizes.largest,)
    if not offered:
        return None
    fitting = [s for s in offered if s[0] <= height and s[1] <= width]
    if fitting:
        return max(fitting, key=lambda s: s[0] * s[1])
    return min(offered, key=lambda s: s[0] * s[1])


def _even(side: int, largest: int, smallest: int, halo: int, grid: int) -> list[Span]:
    if side <= largest:
        return [Span(0, side, 0, side)]
    for count in range(2, side // grid + 1):
        cuts = [*(round(i * side / count / grid) * grid for i in range(count)), side]
        spans = [
            _span(max(0, a - halo), min(side, b + halo), a, b, side, smallest, grid)
            for a, b in itertools.pairwise(cuts)
        ]
        if max(s.stop - s.start for s in spans) <= largest:
            return spans
    raise PictureError(_too_small(largest, halo))


def _span(start: int, stop: int, a: int, b: int, side: int, smallest: int, grid: int) -> Span:
    """Return the span of a tile, grown to the smallest size that the artefact takes."""
    if stop - start < smallest:
        start = max(0, min(start, stop - smallest)) // grid * grid
        stop = min(side, max(stop, start + -(-smallest // grid) * grid))
    return Span(start, stop, a, b)


def _equal(side: int, window: int, halo: int, grid: int) -> list[Span]:
    if side == window:
        return [Span(0, side, 0, side)]
    if window <= 2 * halo:
        raise PictureError(_too_small(window, halo))
    # Rounding the starts to the grid may need one more tile than the minimum.
    for count in range(max(2, -(-(side - 2 * halo) // (window - 2 * halo))), side):
        starts = [round(i * (side - window) / (count - 1) / grid) * grid for i in range(count)]
        overlaps = [a + window - b for a, b in itertools.pairwise(starts)]
        if min(overlaps) >= 2 * halo:
            middles = [b + o // 2 // grid * grid for b, o in zip(starts[1:], overlaps, strict=True)]
            cuts = [0, *(max(m, b + halo) for m, b in zip(middles, starts[1:], strict=True)), side]
            return [
                Span(s, s + window, a, b) for s, a, b in zip(starts, cuts, cuts[1:], strict=False)
            ]
    raise PictureError(_too_small(window, halo))


def _too_small(window: int, halo: int) -> str:
    return (
        f"the artefact's tiles are {window} pixels and the network needs {halo} around each; "
        f"export with a `size` above {2 * halo}"
    )
