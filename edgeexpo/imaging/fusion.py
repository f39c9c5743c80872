"""Exposure fusion: one picture from several exposures, without a radiance map.

Follows T. Mertens, J. Kautz, F. Van Reeth, "Exposure fusion", Pacific Graphics 2007, as OpenCV's
``createMergeMertens`` computes it. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.pyramids import (
    _Planes,
    gaussian_pyramid,
    laplacian_pyramid,
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

_LUMA = (0.299, 0.587, 0.114)
_FINE = 3
_CELL = 1 << _FINE
_MARGIN = 4 * _CELL
"""Margin in pixels around a window that its bands down to an eighth of the size depend on.

The bands depend on 31 pixels, rounded up here to whole cells."""


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
    frames: Sequence[Raster], side: int, workers: int = 1, **measures: float
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
        measures: Attributes of :class:`Measures`, by name.

    Returns:
        HxWx3 raster, float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        PictureError: There are no frames, a frame is not HxWx3, or sizes differ.
    """
    _check(frames)
    chosen, shape = Measures(**measures), frames[0].shape
    levels = _depth(shape)
    if levels <= _FINE or max(shape[:2]) <= side:
        picture = planar(shape)
        with scope():
            _fuse([whole_picture(f) for f in frames], chosen, picture)
        return picture
    small = [_ceil(n, _CELL) for n in shape[:2]]
    bands = [scratch_array((3, *small)) for _ in frames]
    masks = [scratch_array(small) for _ in frames]

    def shrink(window: Window) -> None:
        around = grown(window, _MARGIN, shape, _CELL)
        parts = _parts(frames, around)
        cells, read = _cells(window), _cells(within(window, around))
        for target, source in (
            *zip(bands, parts, strict=True),
            *zip(masks, _masks(parts, chosen), strict=True),
        ):
            target[..., *cells] = gaussian_pyramid(source, _FINE)[-1][..., *read]

    for_each(windows(shape, side, side), shrink, workers)
    base = _blend(bands, masks, levels - _FINE)

    def compute(window: Window, out: np.ndarray) -> None:
        around = grown(window, _MARGIN, shape, _CELL)
        parts = _parts(frames, around)
        blended = _blend(parts, _masks(parts, chosen), _FINE, base[..., *_cells(around)])
        np.copyto(planes_of(out), blended[..., *within(window, around)])
        clip_planes(out)

    return Computed(shape, compute)


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
    parts = _parts(frames, tuple(slice(0, n) for n in out.shape[:2]))
    blended = _blend(parts, _masks(parts, measures), _depth(out.shape))
    np.copyto(planes_of(out), blended)
    clip_planes(out)


def _blend(
    frames: Sequence[_Planes], masks: Sequence[_Planes], levels: int, base: _Planes | None = None
) -> _Planes:
    """Sum the frames' bands, weighted by their HxW masks, and collapse the pyramid.

    ``base`` replaces the coarsest band.
    """
    kernels = kernel_module("pyramids")
    result = scratch_array(frames[0].shape)
    with scope():
        blended = [scratch_array(shape) for shape in pyramid_shapes(result.shape, levels)]
        for band in blended:
            band.fill(0)
        for planes, mask in zip(frames, masks, strict=True):
            with scope():
                shares = gaussian_pyramid(mask, levels)
                if kernels is not None:
                    levels_of = gaussian_pyramid(planes, levels)
                    for level, total in enumerate(blended[:-1]):
                        finer, coarser = levels_of[level : level + 2]
                        kernels.add_detail(finer, coarser, shares[level], total)
                    blended[-1] += np.multiply(levels_of[-1], shares[-1], out=levels_of[-1])
                    continue
                bands = laplacian_pyramid(planes, levels)
                for total, band, share in zip(blended, bands, shares, strict=True):
                    part = scratch_array(band.shape)
                    total += np.multiply(band, share, out=part)
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


def _masks(frames: Sequence[_Planes], measures: Measures) -> list[_Planes]:
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
    """Do as :func:`_masks` does, in compiled code."""
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


def _depth(shape: tuple[int, ...]) -> int:
    return int(np.log2(min(shape[:2])))


def _ceil(length: int, cell: int) -> int:
    return -(-length // cell)


def _cells(window: Window) -> Window:
    """Return the window in the coarse part of the pyramid, for a window that starts on a cell."""
    rows, columns = (slice(s.start // _CELL, _ceil(s.stop, _CELL)) for s in window)
    return rows, columns


def _weight(planes: _Planes, measures: Measures) -> _Planes:
    weight = scratch_array(planes.shape[1:])
    weight.fill(1)
    with scope():
        if measures.contrast:
            weight *= _power(_laplacian(_luma(planes)), measures.contrast)
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


def _luma(planes: _Planes) -> _Planes:
    total, part = scratch_array(planes.shape[1:]), scratch_array(planes.shape[1:])
    total.fill(0)
    for plane, share in zip(planes, _LUMA, strict=True):
        total += np.multiply(plane, np.float32(share), out=part)
    return total


def _square_distance(planes: _Planes, centre: _Planes | np.float32) -> _Planes:
    """Sum the squared distances from ``centre`` over the planes, HxW."""
    total, part = scratch_array(planes.shape[1:]), scratch_array(planes.shape[1:])
    total.fill(0)
    for plane in planes:
        np.subtract(plane, centre, out=part)
        total += np.square(part, out=part)
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
