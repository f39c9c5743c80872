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
from typing import Protocol

import numpy as np

from edgeexpo.errors import PictureError
from edgeexpo.imaging.raster import Raster, Window, reflected, sides, within, write_raster
from edgeexpo.imaging.scratch import scratch_array
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.spec import SizeRange


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


def padded_size(height: int, width: int, sizes: SizeRange) -> tuple[int, int]:
    """Return the (height, width) to which a picture is padded by reflection.

    It is the smallest size that the artefact's tiles cover.
    """
    low = _window(height, width, sizes) or sizes.smallest
    sides = (max(side, least) for side, least in zip((height, width), low, strict=True))
    h, w = (-(-side // sizes.multiple) * sizes.multiple for side in sides)
    return h, w


def fits_whole(height: int, width: int, sizes: SizeRange) -> bool:
    """Return true when an artefact takes a picture of this size in one run.

    An artefact with a range of sizes takes pictures that are reflected up to the next multiple, as
    the reference does. An artefact with enumerated sizes takes exactly these.
    """
    if sizes.enumerated:
        return (height, width) in sizes.enumerated
    return height <= sizes.largest[0] and width <= sizes.largest[1]


def check_whole(height: int, width: int, sizes: SizeRange) -> None:
    """Refuse a picture that a network without tiles cannot take whole.

    Raises:
        PictureError: :func:`fits_whole` is false.
    """
    if fits_whole(height, width, sizes):
        return
    found = f"the picture is {height}x{width} (HxW) and the network looks at all of it at once; "
    largest = f"{sizes.largest[0]}x{sizes.largest[1]}"
    if sizes.enumerated:
        exact = ", ".join(f"{h}x{w}" for h, w in sizes.enumerated)
        raise PictureError(
            f"{found}expected exactly {exact}: scale it to one of them, export at --size "
            f"{height},{width}, or use another --target"
        )
    raise PictureError(
        f"{found}expected at most {largest}: scale it down or export a larger --size"
    )


def plan_tiles(height: int, width: int, halo: int | None, sizes: SizeRange) -> list[Tile]:
    """Cut a picture into tiles that an artefact accepts, as evenly as possible.

    Args:
        height: Height of the padded picture (:func:`padded_size`), in pixels.
        width: Width of the padded picture, in pixels.
        halo: Receptive-field radius in pixels; ``None`` when the network looks at the whole
            picture.
        sizes: The sizes that the artefact accepts, in pixels.

    Returns:
        The tiles, row by row; their cores cover the padded picture without overlap.

    Raises:
        PictureError: The picture needs tiles, but the network looks at the whole picture or the
            artefact's size leaves no room for the halo.
    """
    window = _window(height, width, sizes)
    limits = window or sizes.largest
    if halo is None:
        check_whole(height, width, sizes)
    margin = -(-(halo or 0) // sizes.multiple) * sizes.multiple
    axes = [
        _equal(side, limit, margin, sizes.multiple)
        if window
        else _even(side, limit, least, margin, sizes.multiple)
        for side, limit, least in zip((height, width), limits, sizes.smallest, strict=True)
    ]
    return [Tile(rows, columns) for rows in axes[0] for columns in axes[1]]


class Output(Raster, Protocol):
    """A raster that can be written one window at a time."""

    def __setitem__(self, window: Window, pixels: np.ndarray, /) -> None: ...


def run_tiled(
    run: Callable[[Arrays], np.ndarray],
    inputs: Arrays,
    halo: int | None,
    sizes: SizeRange,
    fixed: Collection[str] = (),
) -> np.ndarray:
    """Do as :func:`run_windows` does, and return the output as an array, HxWxC float32."""
    output = run_windows(run, inputs, halo, sizes, fixed, lambda shape: np.empty(shape, np.float32))
    return np.asarray(output)


def run_windows(
    run: Callable[[Arrays], np.ndarray],
    inputs: Mapping[str, Raster],
    halo: int | None,
    sizes: SizeRange,
    fixed: Collection[str],
    store: Callable[[tuple[int, ...]], Output],
) -> Output:
    """Run a network over pictures of any size, tile by tile.

    Args:
        run: Function from NCHW float32 by input name to the NCHW output, of the tiles' height and
            width.
        inputs: HxWxC float32 by input name, all of one size except the ``fixed`` inputs.
        halo: Receptive-field radius in pixels, or ``None`` for a network that looks at everything.
        sizes: The sizes that the artefact accepts, in pixels.
        fixed: Names of the inputs with their own size (a thumbnail). Every tile gets them whole.
            When all inputs are fixed, the network runs once and its output may have any size.
        store: Function that makes the output, HxWxC float32, from its shape.

    Returns:
        The output that ``store`` made.

    Raises:
        PictureError: As :func:`plan_tiles`; without a halo, as :func:`check_whole`.
    """
    whole_inputs = {name: _tensor(inputs[name]) for name in fixed}
    pictures = {name: value for name, value in inputs.items() if name not in whole_inputs}
    if not pictures:
        return np.asarray(run(whole_inputs)[0].transpose(1, 2, 0))
    height, width = next(iter(pictures.values())).shape[:2]
    if halo is None:
        check_whole(height, width, sizes)
    full = padded_size(height, width, sizes)
    padded = {name: reflected(value, *full) for name, value in pictures.items()}
    tiles = plan_tiles(*full, halo, sizes)
    area = max(math.prod(sides(tile.window)) for tile in tiles)
    memory = {name: scratch_array((area * value.shape[2],)) for name, value in padded.items()}
    output: Output | None = None
    for tile in tiles:
        read, kept = tile.window, tile.kept(height, width)
        part = {n: _tensor(value, read, memory[n]) for n, value in padded.items()}
        result = run({**part, **whole_inputs})[0].transpose(1, 2, 0)
        if output is None:
            output = store((height, width, result.shape[2]))
        output[kept] = result[within(kept, read)]
    assert output is not None  # a picture has at least one tile
    return output


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


def _even(side: int, largest: int, smallest: int, halo: int, multiple: int) -> list[Span]:
    units = side // multiple
    for count in range(1, units + 1):
        cuts = [round(i * units / count) * multiple for i in range(count + 1)]
        spans = [
            _span(max(0, a - halo), min(side, b + halo), a, b, side, smallest)
            for a, b in itertools.pairwise(cuts)
        ]
        if max(s.stop - s.start for s in spans) <= largest:
            return spans
    raise PictureError(_too_small(largest, halo))


def _span(start: int, stop: int, a: int, b: int, side: int, smallest: int) -> Span:
    if stop - start < smallest:
        start = max(0, min(start, stop - smallest))
        stop = min(side, max(stop, start + smallest))
    return Span(start, stop, a, b)


def _equal(side: int, window: int, halo: int, multiple: int) -> list[Span]:
    if side == window:
        return [Span(0, side, 0, side)]
    if window <= 2 * halo:
        raise PictureError(_too_small(window, halo))
    # Rounding the starts to the grid may need one more tile than the minimum.
    for count in range(max(2, -(-(side - 2 * halo) // (window - 2 * halo))), side):
        starts = [
            round(i * (side - window) / (count - 1) / multiple) * multiple for i in range(count)
        ]
        overlaps = [a + window - b for a, b in itertools.pairwise(starts)]
        if min(overlaps) >= 2 * halo:
            middles = [
                b + o // 2 // multiple * multiple for b, o in zip(starts[1:], overlaps, strict=True)
            ]
            cuts = [0, *(max(m, b + halo) for m, b in zip(middles, starts[1:], strict=True)), side]
            return [
                Span(s, s + window, a, b) for s, a, b in zip(starts, cuts, cuts[1:], strict=False)
            ]
    raise PictureError(_too_small(window, halo))


def _too_small(window: int, halo: int) -> str:
    return (
        f"the artefact's tiles are {window} pixels and the network needs {halo} around each; "
        f"export with a --size above {2 * halo}"
    )
