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
from edgeexpo.imaging.raster import Computed, Raster, Window, grown, whole, windows, within

Picture = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
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
    masks = _masks(pictures, Measures(**measures))
    return np.clip(_blend(pictures, masks, _depth(pictures[0].shape)), 0, 1)


def fused_by_windows(frames: Sequence[Raster], side: int, **measures: float) -> Raster:
    """As :func:`exposure_fusion`, to rounding, in the memory of a window.

    The frames are read once for the coarse part of the pyramids, an eighth of their size, which is
    blended whole; then again for each window.

    Args:
        frames: As there, as rasters.
        side: Of the windows in which frames are read, a multiple of 8, in pixels.
        measures: As :class:`Measures`.

    Raises:
        PictureError: As there.
    """
    _check(frames)
    chosen, shape = Measures(**measures), frames[0].shape
    levels = _depth(shape)
    if levels <= _FINE:
        return exposure_fusion([whole(f) for f in frames], **measures)
    small = [_ceil(n, _CELL) for n in shape[:2]]
    pictures = [np.empty((*small, 3), np.float32) for _ in frames]
    masks = [np.empty((*small, 1), np.float32) for _ in frames]
    for window in windows(shape, side, side):
        around = grown(window, _MARGIN, shape, _CELL)
        parts = [f[around] for f in frames]
        cells, read = _cells(window), _cells(within(window, around))
        for target, source in (
            *zip(pictures, parts, strict=True),
            *zip(masks, _masks(parts, chosen), strict=True),
        ):
            target[cells] = gaussian_pyramid(source, _FINE)[-1][read]
    base = _blend(pictures, masks, levels - _FINE)

    def compute(rows: slice, columns: slice) -> Picture:
        around = grown((rows, columns), _MARGIN, shape, _CELL)
        parts = [np.asarray(f[around]) for f in frames]
        blended = _blend(parts, _masks(parts, chosen), _FINE, base[_cells(around)])
        return np.clip(blended[within((rows, columns), around)], 0, 1)

    return Computed(shape, compute)


def _blend(
    pictures: Sequence[Picture], masks: Sequence[Picture], levels: int, base: Picture | None = None
) -> Picture:
    """Sum of the pictures' bands by their masks (HxWx1), collapsed; ``base`` replaces the last."""
    blended: list[Picture] = []
    for picture, mask in zip(pictures, masks, strict=True):
        shares = gaussian_pyramid(mask, levels)
        for level, band in enumerate(laplacian_pyramid(picture, levels)):
            part = band * shares[level]
            if len(blended) == level:
                blended.append(part)
            else:
                blended[level] += part
    result = blended[-1] if base is None else base
    for band in blended[-2::-1]:
        result = upsample(result, band.shape[:2]) + band
    return result


def _masks(pictures: Sequence[Picture], measures: Measures) -> list[Picture]:
    """Each picture's share of the weight, HxWx1."""
    weights = [_weight(p, measures) + np.float32(measures.floor) for p in pictures]
    total = np.sum(weights, axis=0)
    return [(weight / total)[..., None] for weight in weights]


def _depth(shape: tuple[int, ...]) -> int:
    return int(np.log2(min(shape[:2])))


def _ceil(length: int, cell: int) -> int:
    return -(-length // cell)


def _cells(window: Window) -> Window:
    """The window in the coarse part of the pyramid; it starts on a cell."""
    rows, columns = (slice(s.start // _CELL, _ceil(s.stop, _CELL)) for s in window)
    return rows, columns


def gaussian_pyramid(picture: Picture, levels: int) -> list[Picture]:
    """``picture`` and ``levels`` copies of it, each half the size of the one before."""
    pyramid = [picture]
    for _ in range(levels):
        pyramid.append(downsample(pyramid[-1]))
    return pyramid


def laplacian_pyramid(picture: Picture, levels: int) -> list[Picture]:
    """``levels`` bands of detail and the smallest copy; upsampling and adding restores all."""
    pyramid = gaussian_pyramid(picture, levels)
    for level in range(levels):
        pyramid[level] = pyramid[level] - upsample(pyramid[level + 1], pyramid[level].shape[:2])
    return pyramid


def downsample(picture: Picture) -> Picture:
    """Half size, rounded up, after the filter 1 4 6 4 1 (P. Burt, E. Adelson, 1983)."""
    return _halve(_halve(picture).swapaxes(0, 1)).swapaxes(0, 1)


def upsample(picture: Picture, size: tuple[int, int]) -> Picture:
    """Double size, cut to ``size`` (height, width), interpolated by the same filter."""
    tall = _double(picture, size[0])
    return _double(tall.swapaxes(0, 1), size[1]).swapaxes(0, 1)


def _halve(picture: Picture) -> Picture:
    padded = np.pad(picture, ((2, 2), (0, 0), (0, 0)), mode="reflect")
    count = (len(picture) + 1) // 2
    tap = [padded[offset : offset + 2 * count - 1 : 2] for offset in range(5)]
    sides = tap[0] + tap[4] + np.float32(4) * (tap[1] + tap[3])
    return np.asarray((sides + np.float32(6) * tap[2]) * np.float32(1 / 16))


def _double(picture: Picture, length: int) -> Picture:
    out = np.empty((length, *picture.shape[1:]), np.float32)
    before = np.concatenate([picture[1:2] if len(picture) > 1 else picture[:1], picture[:-1]])
    after = np.concatenate([picture[1:], picture[-1:]])
    out[0::2] = (before + np.float32(6) * picture + after)[: (length + 1) // 2] * np.float32(1 / 8)
    out[1::2] = (picture + after)[: length // 2] * np.float32(0.5)
    return out


def _weight(picture: Picture, measures: Measures) -> Picture:
    weight = np.ones(picture.shape[:2], np.float32)
    if measures.contrast:
        weight *= _power(_laplacian(picture @ _LUMA), measures.contrast)
    if measures.saturation:
        red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
        mean = ((red + green + blue) * (1 / 3)).astype(np.float32)
        square = np.square(red - mean) + np.square(green - mean) + np.square(blue - mean)
        weight *= _power(np.sqrt(square), measures.saturation)
    if measures.exposedness:
        distance = np.square(picture - np.float32(0.5)).sum(axis=2)
        near = np.exp(distance * np.float32(-0.5 / measures.sigma**2))
        weight *= _power(near, measures.exposedness)
    return weight


def _power(values: Picture, exponent: float) -> Picture:
    return values if exponent == 1 else np.power(values, np.float32(exponent))


def _laplacian(grey: Picture) -> Picture:
    padded = np.pad(grey, 1, mode="reflect")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.abs(around - np.float32(4) * grey)


def _check(frames: Sequence[Raster]) -> None:
    if not len(frames):
        raise PictureError("exposure fusion got no frames; expected at least one")
    for index, frame in enumerate(frames):
        if len(frame.shape) != 3 or frame.shape[2] != 3:
            found = "x".join(map(str, frame.shape))
            raise PictureError(f"frame {index} is {found}; expected HxWx3")
        if frame.shape != frames[0].shape:
            raise PictureError(f"frame {index} has another size than frame 0; align them first")
