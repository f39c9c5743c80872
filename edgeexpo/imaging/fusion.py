"""Exposure fusion: one picture from several exposures, without a radiance map.

Follows T. Mertens, J. Kautz, F. Van Reeth, "Exposure fusion", Pacific Graphics 2007, as OpenCV's
``createMergeMertens`` computes it. A test compares the two.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import LUMA
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.pyramids import (
    _Planes,
    gaussian_pyramid,
    pyramid_shapes,
    upsample,
)
from edgeexpo.imaging.raster import (
    Computed,
    Raster,
    Window,
    for_each,
    grown,
    sides,
    whole_picture,
    windows,
    within,
    write_raster,
)
from edgeexpo.imaging.scratch import clip_planes, planar, row_planes, scope, scratch_array
from edgeexpo.imaging.scratch import planes as planes_of

_FINE = 3
_CELL = 1 << _FINE
_MARGIN = 4 * _CELL
"""Margin in pixels around a window that its bands down to an eighth of the size depend on.

The bands depend on 31 pixels, rounded up here to whole cells."""

_KEPT_MARGIN = 2 * _CELL
"""The same margin where the Gaussian pyramids are at hand: 14 pixels, rounded up."""


@dataclass(frozen=True)
class Measures:
    """The measures that give each pixel of a frame its weight.

    Attributes:
        contrast: Exponent of the Laplacian's magnitude. 0 switches the measure off.
        saturation: Exponent of the deviation across channels. 0 switches the measure off.
        exposedness: Exponent of the closeness to mid-grey. 0 switches the measure off.
        sigma: Standard deviation of the Gaussian that measures closeness to mid-grey, on the
            [0, 1] scale.
        floor: Constant that is added to every weight. With OpenCV's 1e-12, 8-bit rounding noise
            decides which frame is shown where all weights are small (flat or grey areas). A floor
            above that noise shows the mean of the frames there.
    """

    contrast: float = 1.0
    saturation: float = 1.0
    exposedness: float = 1.0
    sigma: float = 0.2
    floor: float = 1e-12

    @property
    def plain(self) -> bool:
        """True if every measure counts as it is or not at all, as compiled kernels compute it."""
        return {self.contrast, self.saturation, self.exposedness} <= {0.0, 1.0}


def exposure_fusion(frames: Sequence[npt.ArrayLike], **measures: float) -> Picture:
    """Blend exposures by contrast, saturation and well-exposedness over Laplacian pyramids.

    Args:
        frames: One or more HxWx3 pictures of the same size, sRGB-encoded, [0, 1].
        measures: Attributes of :class:`Measures`, by name.

    Returns:
        HxWx3 float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        PictureError: There are no frames, a frame is not HxWx3, or sizes differ.
    """
    pictures = [np.asarray(frame, np.float32) for frame in frames]
    _check(pictures)
    result = np.empty(pictures[0].shape, np.float32)
    _fuse(pictures, Measures(**measures), result)
    return result


def fused_by_windows(
    frames: Sequence[Raster],
    side: int,
    workers: int = 1,
    keeps_pyramids: bool = False,
    **measures: float,
) -> Raster:
    """Fuse exposures as :func:`exposure_fusion` does, in the memory of a window.

    The result equals that of :func:`exposure_fusion` up to rounding. The frames are read once for
    the coarse part of the pyramids, at an eighth of their size, which is blended as a whole. They
    are read again for each window of the result.

    Args:
        frames: One or more HxWx3 rasters of the same size, sRGB-encoded, [0, 1].
        side: Side in pixels of the windows in which frames are read, a multiple of 8. A picture
            that fits into one window is fused as a whole.
        workers: Number of threads that read the frames.
        keeps_pyramids: True keeps the frames' weights and the finer levels of the pyramids from
            the first reading to the second, in 9 bytes a pixel and frame. Otherwise they are
            computed twice.
        measures: Attributes of :class:`Measures`, by name.

    Returns:
        HxWx3 raster, float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        PictureError: There are no frames, a frame is not HxWx3, or sizes differ.
    """
    _check(frames)
    chosen, shape = Measures(**measures), frames[0].shape
    levels = depth(shape)
    if levels <= _FINE or max(shape[:2]) <= side:
        picture = planar(shape)
        with scope():
            _fuse([whole_picture(f) for f in frames], chosen, picture)
        return picture
    kept = range(_FINE + 1) if keeps_pyramids else (_FINE,)
    pyramids = [_Pyramids.empty(shape, kept) for _ in frames]

    def shrink(window: Window) -> None:
        around = grown(window, _MARGIN, shape, _CELL)
        parts = _parts(frames, around)
        for stored, planes, mask in zip(pyramids, parts, frame_shares(parts, chosen), strict=True):
            with scope():
                stored.store(window, around, _both(planes, mask, _FINE))

    for_each(windows(shape, side, side), shrink, workers)
    coarse = [
        functools.partial(_both, p.planes[_FINE], p.masks[_FINE], levels - _FINE) for p in pyramids
    ]
    base = _blend(coarse, pyramids[0].planes[_FINE].shape, levels - _FINE)

    def compute(window: Window, out: np.ndarray) -> None:
        around = grown(window, _KEPT_MARGIN if keeps_pyramids else _MARGIN, shape, _CELL)
        parts = _parts(frames, around)
        if keeps_pyramids:
            made = [
                functools.partial(stored.around, around, planes)
                for stored, planes in zip(pyramids, parts, strict=True)
            ]
        else:
            made = [
                functools.partial(_both, planes, mask, _FINE)
                for planes, mask in zip(parts, frame_shares(parts, chosen), strict=True)
            ]
        coarsest = _held(base[..., *_cells(around)])
        blended = _blend(made, parts[0].shape, _FINE, coarsest)
        np.copyto(planes_of(out), blended[..., *within(window, around)])
        clip_planes(out)

    return Computed(shape, compute, clipped=True)


_Levels = tuple[list[_Planes], list[_Planes]]
"""Gaussian pyramids of a frame's planes and of its mask, largest first."""


def _both(planes: _Planes, mask: _Planes, levels: int) -> _Levels:
    return gaussian_pyramid(planes, levels), gaussian_pyramid(mask, levels)


@dataclass(frozen=True)
class _Pyramids:
    """Levels of one frame's Gaussian pyramids that are kept for the whole picture, by number.

    The planes of level 0 are never kept, because they are the frame.
    """

    planes: dict[int, _Planes]
    masks: dict[int, _Planes]

    @classmethod
    def empty(cls, shape: tuple[int, ...], levels: Sequence[int]) -> _Pyramids:
        """Return memory for these levels."""
        sizes = {level: [_ceil(n, 1 << level) for n in shape[:2]] for level in levels}
        return cls(
            {level: scratch_array((3, *size)) for level, size in sizes.items() if level},
            {level: scratch_array(size) for level, size in sizes.items()},
        )

    def store(self, window: Window, around: Window, levels: _Levels) -> None:
        """Keep a window of pyramids that were made of the window ``around`` it."""
        read = within(window, around)
        for kept, made in zip((self.planes, self.masks), levels, strict=True):
            for level, target in kept.items():
                cell = 1 << level
                target[..., *_cells(window, cell)] = made[level][..., *_cells(read, cell)]

    def around(self, window: Window, planes: _Planes) -> _Levels:
        """Return the pyramids of a window that starts on a cell, whose planes are given."""
        frame, mask = (
            [_held(level[..., *_cells(window, 1 << n)]) for n, level in sorted(kept.items())]
            for kept in (self.planes, self.masks)
        )
        return [planes, *frame], mask


def _held(planes: _Planes) -> _Planes:
    """Return a contiguous copy."""
    copy = scratch_array(planes.shape)
    np.copyto(copy, planes)
    return copy


def _parts(frames: Sequence[Raster], window: Window) -> list[_Planes]:
    """Return the planes of a window of all frames; compiled kernels get contiguous ones."""
    if kernel_module("fusion") is None:
        return [row_planes(frame[window]) for frame in frames]
    parts = [scratch_array((3, *sides(window))) for _ in frames]
    for frame, part in zip(frames, parts, strict=True):
        write_raster(frame, window, part.transpose(1, 2, 0))
    return parts


def _fuse(frames: Sequence[Picture], measures: Measures, out: Picture) -> None:
    """Fuse whole frames into ``out``."""
    height, width = out.shape[:2]
    parts, levels = _parts(frames, (slice(0, height), slice(0, width))), depth(out.shape)
    made = [
        functools.partial(_both, planes, mask, levels)
        for planes, mask in zip(parts, frame_shares(parts, measures), strict=True)
    ]
    blended = _blend(made, parts[0].shape, levels)
    np.copyto(planes_of(out), blended)
    clip_planes(out)


def _blend(
    pyramids: Sequence[Callable[[], _Levels]],
    shape: tuple[int, ...],
    levels: int,
    base: _Planes | None = None,
) -> _Planes:
    """Sum the frames' bands, weighted by their masks, and collapse the pyramid.

    Args:
        pyramids: For each frame a function that returns its Gaussian pyramids.
        shape: Shape of the largest planes.
        levels: Number of smaller levels.
        base: Planes that replace the coarsest band.
    """
    kernels = kernel_module("pyramids")
    result = scratch_array(shape)
    with scope():
        blended = [scratch_array(shape) for shape in pyramid_shapes(shape, levels)]
        for band in blended:
            band.fill(0)
        for made in pyramids:
            with scope():
                planes, shares = made()
                for level, total in enumerate(blended[:-1]):
                    if kernels is not None:
                        kernels.add_detail(planes[level], planes[level + 1], shares[level], total)
                        continue
                    height, width = total.shape[-2:]
                    coarse = upsample(planes[level + 1], (height, width))
                    band = np.subtract(planes[level], coarse, out=coarse)
                    total += np.multiply(band, shares[level], out=band)
                part = scratch_array(planes[-1].shape)
                blended[-1] += np.multiply(planes[-1], shares[-1], out=part)
        coarse = blended[-1] if base is None else base
        for band in blended[-2::-1]:
            height, width = band.shape[-2:]
            if kernels is not None:
                kernels.add_upsampled(coarse, band)
                coarse = band
                continue
            band += upsample(coarse, (height, width))
            coarse = band
        np.copyto(result, coarse)
    return result


def frame_shares(frames: Sequence[_Planes], measures: Measures) -> list[_Planes]:
    """Return each frame's share of the total weight, HxW."""
    kernels = kernel_module("fusion")
    if kernels is not None and measures.plain:
        return _compiled_masks(kernels, frames, measures)
    weights = [_weight(planes, measures) for planes in frames]
    with scope():
        total = scratch_array(weights[0].shape)
        total.fill(0)
        for weight in weights:
            weight += np.float32(measures.floor)
            total += weight
        for weight in weights:
            weight /= total
    return weights


def _compiled_masks(kernels: Any, frames: Sequence[_Planes], measures: Measures) -> list[_Planes]:
    """Do as :func:`frame_shares` does, in compiled code."""
    size = frames[0].shape[1:]
    weights = scratch_array((len(frames), *size))
    with scope():
        memory = scratch_array(size)
        for planes, weight in zip(frames, weights, strict=True):
            kernels.weigh(
                planes,
                *(bool(measures.contrast), bool(measures.saturation), bool(measures.exposedness)),
                *(np.float32(-0.5 / measures.sigma**2), np.float32(measures.floor)),
                *(memory, weight),
            )
        kernels.divide(weights.reshape(len(frames), -1), memory.reshape(-1))
    return list(weights)


def depth(shape: tuple[int, ...]) -> int:
    """Return the number of smaller levels of the pyramids for frames of a shape, HxW or HxWx3."""
    return int(np.log2(min(shape[:2])))


def _ceil(length: int, cell: int) -> int:
    return -(-length // cell)


def _cells(window: Window, cell: int = _CELL) -> Window:
    """Return the window in a level whose pixels are cells, for a window that starts on a cell."""
    rows, columns = (slice(s.start // cell, _ceil(s.stop, cell)) for s in window)
    return rows, columns


def _weight(planes: _Planes, measures: Measures) -> _Planes:
    weight = scratch_array(planes.shape[1:])
    with scope():
        if measures.contrast:
            np.copyto(weight, _power(_laplacian(luma_plane(planes)), measures.contrast))
        else:
            weight.fill(1)
        if measures.saturation:
            mean = scratch_array(weight.shape)
            np.add(planes[0], planes[1], out=mean)
            mean += planes[2]
            mean *= np.float32(1 / 3)
            distance = _square_distance(planes, mean)
            weight *= _power(np.sqrt(distance, out=distance), measures.saturation)
        if measures.exposedness:
            near = _square_distance(planes, np.float32(0.5))
            near *= np.float32(-0.5 / measures.sigma**2)
            weight *= _power(np.exp(near, out=near), measures.exposedness)
    return weight


def luma_plane(planes: _Planes) -> _Planes:
    total, part = scratch_array(planes.shape[1:]), scratch_array(planes.shape[1:])
    np.multiply(planes[0], np.float32(LUMA[0]), out=total)
    for plane, share in zip(planes[1:], LUMA[1:], strict=True):
        total += np.multiply(plane, np.float32(share), out=part)
    return total


def _square_distance(planes: _Planes, centre: _Planes | np.float32) -> _Planes:
    """Sum the squared distances from ``centre`` over the planes, HxW."""
    total, part = scratch_array(planes.shape[1:]), scratch_array(planes.shape[1:])
    np.square(np.subtract(planes[0], centre, out=total), out=total)
    for plane in planes[1:]:
        total += np.square(np.subtract(plane, centre, out=part), out=part)
    return total


def _power(values: _Planes, exponent: float) -> _Planes:
    """Raise the values to a power in place."""
    return values if exponent == 1 else np.power(values, np.float32(exponent), out=values)


def _laplacian(luma: _Planes) -> _Planes:
    """Return the magnitude of the Laplacian, HxW, with reflected borders."""
    height, width = luma.shape
    padded = scratch_array((height + 2, width + 2))
    padded[1:-1, 1:-1] = luma
    for lines, inside in ((padded, height), (padded.T, width)):
        lines[0], lines[-1] = lines[min(2, inside)], lines[max(-3, -inside - 1)]
    around, centre = scratch_array(luma.shape), padded[1:-1, 1:-1]
    np.add(padded[:-2, 1:-1], padded[2:, 1:-1], out=around)
    around += padded[1:-1, :-2]
    around += padded[1:-1, 2:]
    centre *= np.float32(4)
    around -= centre
    return np.asarray(np.abs(around, out=around))


def _check(frames: Sequence[Raster]) -> None:
    if not len(frames):
        raise PictureError("exposure fusion got no frames; expected at least one")
    for index, frame in enumerate(frames):
        if len(frame.shape) != 3 or frame.shape[2] != 3:
            found = "x".join(map(str, frame.shape))
            raise PictureError(f"frame {index} is {found}; expected HxWx3")
        if frame.shape != frames[0].shape:
            raise PictureError(f"frame {index} has another size than frame 0; align them first")
