"""Resizing in exact, documented arithmetic that gives the same numbers on every host."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.coded_resize import WholeWeights, resize_codes
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.raster import STRIP, Raster, Window, for_each, windows
from edgeexpo.imaging.scratch import planar, planes, row_planes, scope, scratch_array


def resize(
    picture: Raster, size: tuple[int, int], method: str = "area", workers: int = 1
) -> Picture:
    """Scale a picture to ``size``. The axes are scaled independently, rows first.

    ``area``: along an axis that shrinks, an output pixel is the mean of the input pixels that it
    covers. Input pixels at its ends count by the part that is covered, as in OpenCV's
    ``INTER_AREA``. A checkerboard with a period of two output pixels keeps its contrast where it
    meets the output grid. So it flickers when the picture moves. An axis that grows is bilinear.

    ``triangle``: along an axis that shrinks, an output pixel is a weighted mean. The weights fall
    linearly to zero at one output pixel's width from the centre, as in torch's ``antialias=True``
    and Pillow's ``BILINEAR``. Such a checkerboard becomes faint. An axis that grows is bilinear.

    ``bilinear``: two taps at ``(i + 0.5) * n_in / n_out - 0.5``, clamped at the borders, as in
    OpenCV's ``INTER_LINEAR`` and torch's ``align_corners=False``. It aliases when it shrinks.

    Weights are computed in float64 from integers, and sums are float32. Pictures of integer codes
    that keep or shrink both sides by the first two methods are summed exactly, in integers.

    Args:
        picture: HxWxC, any range and encoding, read in strips of rows.
        size: Height and width of the result, in pixels.
        method: One of :data:`RESIZE_METHODS`.
        workers: Number of threads.

    Returns:
        A new array of size[0] x size[1] x C, float32, in the picture's range and encoding. When
        the size stays the same, the values are equal.

    Raises:
        PictureError: The picture is not HxWxC, a size is empty, or the method is unknown.
    """
    if len(picture.shape) != 3 or min(*picture.shape[:2], *size) < 1:
        found = "x".join(map(str, picture.shape))
        raise PictureError(
            f"cannot resize {found} to {size[0]}x{size[1]}; expected HxWxC, not empty"
        )
    if method not in RESIZE_METHODS:
        raise PictureError(
            f"unknown resize method {method!r}; expected {', '.join(RESIZE_METHODS)}"
        )
    height, width, channels = picture.shape
    shrinks = size[0] <= height and size[1] <= width and size != (height, width)
    if isinstance(picture, CodedPicture) and method in _SHRINKING and shrinks:
        down, across = (
            _whole_weights(n, n_out, method) for n, n_out in zip((height, width), size, strict=True)
        )
        return resize_codes(picture, down, across, workers)
    rows, columns = _taps(height, size[0], method), _taps(width, size[1], method)
    result = planar((*size, channels))
    strip = max(1, STRIP * size[0] // (height * width))
    kernels = kernel_module("weighted_sums")

    def weigh(window: Window) -> None:
        rows_of = window[0]
        index, weight = rows[0][:, rows_of], rows[1][:, rows_of]
        first, last = int(index.min()), int(index.max()) + 1
        near = np.subtract(index, first, out=scratch_array(index.shape, np.intp))
        part = row_planes(picture[first:last, 0:width])
        short = scratch_array((near.shape[1], width))
        for plane, scaled in zip(part, planes(result)[:, rows_of], strict=True):
            if kernels is not None and plane.flags.c_contiguous:
                kernels.weigh_plane(plane, near, weight, *columns, scaled)
                continue
            _weigh(plane, near, weight, 0, short)
            _weigh(short, *columns, 1, scaled)

    for_each(windows(size, strip, size[1]), weigh, workers)
    return result


@functools.lru_cache
def bilinear_taps(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], Picture]:
    """Return the two input positions of every output position, and the second one's weight.

    Returns:
        (2, n_out) indices and (n_out,) float32 weights in [0, 1).
    """
    position = np.clip((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
    left = np.minimum(position.astype(np.intp), max(n_in - 2, 0))
    return np.stack([left, np.minimum(left + 1, n_in - 1)]), (position - left).astype(np.float32)


def _weigh(
    plane: Picture, index: npt.NDArray[np.intp], weight: Picture, axis: int, out: Picture
) -> None:
    """Sum the rows or columns at ``index``, weighted by ``weight``, both (taps, positions)."""
    with scope():
        part = scratch_array(out.shape)
        for tap, target in enumerate([out] + [part] * (len(index) - 1)):
            plane.take(index[tap], axis, out=target, mode="clip")
            target *= weight[tap, :, None] if axis == 0 else weight[tap]
            if tap:
                out += part


@functools.lru_cache
def _taps(n_in: int, n_out: int, method: str) -> tuple[npt.NDArray[np.intp], Picture]:
    """Return the input positions of every output position, and their weights, (taps, n_out)."""
    if n_in == n_out:
        return np.arange(n_in)[None], np.ones((1, n_in), np.float32)
    if n_out < n_in and method in _SHRINKING:
        return _shrinking_taps(n_in, n_out, method)
    index, second = bilinear_taps(n_in, n_out)
    return index, np.stack([1 - second, second])


@functools.lru_cache
def _whole_weights(n_in: int, n_out: int, method: str) -> WholeWeights:
    """Return the weights along an axis that shrinks or keeps its length, in integers."""
    if n_in == n_out:
        index, weight = np.arange(n_in)[None], np.ones((1, n_in), np.int64)
    else:
        index, weight = _SHRINKING[method](n_in, n_out)
    return WholeWeights(index[0], (weight // np.gcd.reduce(weight, None)).T)


def _shrinking_taps(n_in: int, n_out: int, method: str) -> tuple[npt.NDArray[np.intp], Picture]:
    index, weight = _SHRINKING[method](n_in, n_out)
    return np.minimum(index, n_in - 1), (weight / weight.sum(0)).astype(np.float32)


def _area_weights(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the positions that every output pixel covers, and the covered parts, sum n_in.

    Ends are counted in units of 1/n_out of an input pixel, so that they are integers.
    """
    start = np.arange(n_out) * n_in
    first = start // n_out
    count = int((-(-(start + n_in) // n_out) - first).max())
    index = first + np.arange(count)[:, None]
    covered = np.minimum((index + 1) * n_out, start + n_in) - np.maximum(index * n_out, start)
    return index, np.maximum(covered, 0)


def _triangle_weights(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return positions nearer than n_in/n_out to output pixels' centres, and their weights.

    Distances are counted in units of 1/(2 n_out) of an input pixel, so that they are integers.
    """
    center = (2 * np.arange(n_out) + 1) * n_in
    first = np.maximum((center - 2 * n_in) // (2 * n_out), 0)
    count = 2 * -(-n_in // n_out) + 1
    index = first + np.arange(count)[:, None]
    distance = abs((2 * index + 1) * n_out - center)
    weight = np.where(index < n_in, np.maximum(2 * n_in - distance, 0), 0)
    used = weight.any(1)
    return index[used], weight[used]


_SHRINKING = {"area": _area_weights, "triangle": _triangle_weights}
RESIZE_METHODS = (*_SHRINKING, "bilinear")
"""Names of the methods that :func:`resize` offers."""
