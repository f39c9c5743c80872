"""Exposure fusion: one picture from several exposures, without a radiance map.

Follows T. Mertens, J. Kautz, F. Van Reeth, "Exposure fusion", Pacific Graphics 2007, as OpenCV's
``createMergeMertens`` computes it (the test holds the two together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging.pyramids import Planes, gaussian_pyramid, laplacian_pyramid, upsample
from edgeexpo.imaging.raster import (
    Computed,
    Raster,
    Window,
    for_each,
    grown,
    whole,
    windows,
    within,
)

Picture = npt.NDArray[np.float32]

_LUMA = (0.299, 0.587, 0.114)
_FINE = 3
_CELL = 1 << _FINE
_MARGIN = 4 * _CELL
"""Pixels around a window that decide its bands down to an eighth: 31, in whole cells."""


@dataclass(frozen=True)
class Measures:
    """What makes a pixel of a frame count.

    Attributes:
        contrast: Exponent of the Laplacian's magnitude; 0 switches the measure off.
        saturation: Exponent of the deviation across channels.
        exposedness: Exponent of the closeness to mid-grey.
        sigma: Standard deviation of that closeness, on the [0, 1] scale.
        floor: Added to every weight. OpenCV's is 1e-12; where all weights are small (flat or grey
            areas) the noise of 8 bits then decides which frame is shown. A floor above that noise
            shows the mean of the frames there.
    """

    contrast: float = 1.0
    saturation: float = 1.0
    exposedness: float = 1.0
    sigma: float = 0.2
    floor: float = 1e-12


def exposure_fusion(frames: Sequence[npt.ArrayLike], **measures: float) -> Picture:
    """Blend exposures by contrast, saturation and well-exposedness over Laplacian pyramids.

    Args:
        frames: One or more HxWx3 pictures of the same size, sRGB-encoded, [0, 1].
        measures: As :class:`Measures`.

    Returns:
        HxWx3 float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        PictureError: No frames, not HxWx3, or sizes that differ.
    """
    pictures = [np.asarray(frame, np.float32) for frame in frames]
    _check(pictures)
    planes = [_planes(picture) for picture in pictures]
    masks = _masks(planes, Measures(**measures))
    return _picture(_blend(planes, masks, _depth(pictures[0].shape)))


def fused_by_windows(
    frames: Sequence[Raster], side: int, workers: int = 1, **measures: float
) -> Raster:
    """As :func:`exposure_fusion`, to rounding, in the memory of a window.

    The frames are read once for the coarse part of the pyramids, an eighth of their size, which is
    blended whole; then again for each window.

    Args:
        frames: As there, as rasters.
        side: Of the windows in which frames are read, a multiple of 8, in pixels; a picture that
            fits into one is fused whole.
        workers: Threads that read them.
        measures: As :class:`Measures`.

    Raises:
        PictureError: As there.
    """
    _check(frames)
    chosen, shape = Measures(**measures), frames[0].shape
    levels = _depth(shape)
    if levels <= _FINE or max(shape[:2]) <= side:
        return exposure_fusion([whole(f) for f in frames], **measures)
    small = [_ceil(n, _CELL) for n in shape[:2]]
    planes = [np.empty((3, *small), np.float32) for _ in frames]
    masks = [np.empty(small, np.float32) for _ in frames]

    def shrink(window: Window) -> None:
        around = grown(window, _MARGIN, shape, _CELL)
        parts = [_planes(f[around]) for f in frames]
        cells, read = _cells(window), _cells(within(window, around))
        for target, source in (
            *zip(planes, parts, strict=True),
            *zip(masks, _masks(parts, chosen), strict=True),
        ):
            target[..., *cells] = gaussian_pyramid(source, _FINE)[-1][..., *read]

    for_each(windows(shape, side, side), shrink, workers)
    base = _blend(planes, masks, levels - _FINE)

    def compute(rows: slice, columns: slice) -> Picture:
        around = grown((rows, columns), _MARGIN, shape, _CELL)
        parts = [_planes(f[around]) for f in frames]
        blended = _blend(parts, _masks(parts, chosen), _FINE, base[..., *_cells(around)])
        return _picture(blended[..., *within((rows, columns), around)])

    return Computed(shape, compute)


def _blend(
    frames: Sequence[Planes], masks: Sequence[Planes], levels: int, base: Planes | None = None
) -> Planes:
    """Sum of the frames' bands by their masks (HxW), collapsed; ``base`` replaces the last."""
    blended: list[Planes] = []
    for planes, mask in zip(frames, masks, strict=True):
        shares = gaussian_pyramid(mask, levels)
        for level, band in enumerate(laplacian_pyramid(planes, levels)):
            part = band * shares[level]
            if len(blended) == level:
                blended.append(part)
            else:
                blended[level] += part
    result = blended[-1] if base is None else base
    for band in blended[-2::-1]:
        height, width = band.shape[-2:]
        result = upsample(result, (height, width))
        result += band
    return result


def _masks(frames: Sequence[Planes], measures: Measures) -> list[Planes]:
    """Each frame's share of the weight, HxW."""
    weights = [_weight(planes, measures) + np.float32(measures.floor) for planes in frames]
    total = np.sum(weights, axis=0)
    return [np.divide(weight, total, out=weight) for weight in weights]


def _planes(picture: np.ndarray) -> Planes:
    """3xHxW, contiguous."""
    return np.ascontiguousarray(np.asarray(picture, np.float32).transpose(2, 0, 1))


def _picture(planes: Planes) -> Picture:
    """HxWx3, contiguous, in [0, 1]."""
    result = np.empty((*planes.shape[1:], 3), np.float32)
    np.clip(planes.transpose(1, 2, 0), 0, 1, out=result)
    return result


def _depth(shape: tuple[int, ...]) -> int:
    return int(np.log2(min(shape[:2])))


def _ceil(length: int, cell: int) -> int:
    return -(-length // cell)


def _cells(window: Window) -> Window:
    """The window in the coarse part of the pyramid; it starts on a cell."""
    rows, columns = (slice(s.start // _CELL, _ceil(s.stop, _CELL)) for s in window)
    return rows, columns


def _weight(planes: Planes, measures: Measures) -> Planes:
    weight = np.ones(planes.shape[1:], np.float32)
    if measures.contrast:
        luma = np.zeros_like(weight)
        for plane, share in zip(planes, _LUMA, strict=True):
            luma += plane * np.float32(share)
        weight *= _power(_laplacian(luma), measures.contrast)
    if measures.saturation:
        mean = planes.sum(axis=0) * np.float32(1 / 3)
        weight *= _power(np.sqrt(_square_distance(planes, mean)), measures.saturation)
    if measures.exposedness:
        distance = _square_distance(planes, np.float32(0.5))
        near = np.exp(distance * np.float32(-0.5 / measures.sigma**2))
        weight *= _power(near, measures.exposedness)
    return weight


def _square_distance(planes: Planes, centre: Planes | np.float32) -> Planes:
    """Sum over the planes, HxW."""
    total = np.zeros(planes.shape[1:], np.float32)
    for plane in planes:
        total += np.square(plane - centre)
    return total


def _power(values: Planes, exponent: float) -> Planes:
    return values if exponent == 1 else np.power(values, np.float32(exponent))


def _laplacian(luma: Planes) -> Planes:
    padded = np.pad(luma, 1, mode="reflect")
    around: Planes = padded[:-2, 1:-1] + padded[2:, 1:-1]
    around += padded[1:-1, :-2]
    around += padded[1:-1, 2:]
    around -= np.float32(4) * luma
    return np.abs(around, out=around)


def _check(frames: Sequence[Raster]) -> None:
    if not len(frames):
        raise PictureError("exposure fusion got no frames; expected at least one")
    for index, frame in enumerate(frames):
        if len(frame.shape) != 3 or frame.shape[2] != 3:
            found = "x".join(map(str, frame.shape))
            raise PictureError(f"frame {index} is {found}; expected HxWx3")
        if frame.shape != frames[0].shape:
            raise PictureError(f"frame {index} has another size than frame 0; align them first")
