"""Gaussian and Laplacian pyramids of planes (P. Burt, E. Adelson, 1983), filter 1 4 6 4 1.

Planes are ...xHxW float32, because an innermost axis of three would make every operation slow.
Borders are reflected as by OpenCV's ``pyrDown`` and ``pyrUp``. Tests compare the two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.scratch import scope, scratch_array

_Planes = npt.NDArray[np.float32]


def gaussian_pyramid(planes: _Planes, levels: int) -> list[_Planes]:
    """Build a Gaussian pyramid: ``planes`` and ``levels`` copies, each half the size before it.

    Args:
        planes: ...xHxW float32, any range.
        levels: Number of smaller copies.

    Returns:
        ``levels + 1`` arrays, largest first. Sides are halved and rounded up.
    """
    pyramid = [planes]
    for _ in range(levels):
        pyramid.append(downsample(pyramid[-1]))
    return pyramid


def laplacian_pyramid(planes: _Planes, levels: int) -> list[_Planes]:
    """Build a Laplacian pyramid: ``levels`` bands of detail and the smallest Gaussian copy.

    Upsampling the copy and adding the bands, coarse to fine, restores ``planes``.

    Args:
        planes: ...xHxW float32, any range.
        levels: Number of bands of detail.

    Returns:
        ``levels + 1`` arrays, finest band first.
    """
    pyramid = gaussian_pyramid(planes, levels)
    for level in range(levels):
        height, width = pyramid[level].shape[-2:]
        coarse = upsample(pyramid[level + 1], (height, width))
        pyramid[level] = np.subtract(pyramid[level], coarse, out=coarse)
    return pyramid


def pyramid_shapes(shape: tuple[int, ...], levels: int) -> list[tuple[int, ...]]:
    """Return the ``levels + 1`` shapes of a pyramid whose planes have ``shape``, largest first."""
    shapes = [tuple(shape)]
    for _ in range(levels):
        *before, height, width = shapes[-1]
        shapes.append((*before, -(-height // 2), -(-width // 2)))
    return shapes


def downsample(planes: _Planes) -> _Planes:
    """Scale ...xHxW planes to half their size, rounded up."""
    result, kernels = scratch_array(pyramid_shapes(planes.shape, 1)[1]), kernel_module("pyramids")
    if kernels is not None and planes.flags.c_contiguous:
        kernels.downsample(three_axes(planes), three_axes(result))
        return result
    with scope():
        short = scratch_array((*result.shape[:-1], planes.shape[-1]))
        _halve(planes, -2, short)
        _halve(short, -1, result)
    return result


def three_axes(planes: _Planes) -> _Planes:
    """Return contiguous ...xHxW planes as CxHxW."""
    return planes.reshape(-1, *planes.shape[-2:])


def upsample(planes: _Planes, size: tuple[int, int]) -> _Planes:
    """Scale ...xHxW planes to double their size with the same filter, cut to (height, width)."""
    result = scratch_array((*planes.shape[:-2], *size))
    with scope():
        wide = scratch_array((*planes.shape[:-1], size[1]))
        _double(planes, -1, wide)
        _double(wide, -2, result)
    return result


def _halve(planes: _Planes, axis: int, out: _Planes) -> None:
    source, result = _lines(planes, axis), _lines(out, axis)
    length = len(source)
    if length == 1:
        np.copyto(out, planes)
        return
    even, odd = source[0::2], source[1::2]
    if axis == -1:
        # Every second number of a row is slow to read, so it is read once.
        even, odd = (_copied(planes[..., first::2]) for first in (0, 1))
    np.multiply(even, np.float32(6), out=result)
    result[1:] += even[:-1]
    result[:-1] += even[1:]
    result[0] += even[min(1, len(even) - 1)]
    result[-1] += even[-1] if length % 2 == 0 else even[-2]
    between = _lines(scratch_array(_with(planes.shape, axis, len(odd))), axis)
    np.multiply(odd, np.float32(4), out=between)
    result[: len(odd)] += between
    result[1:] += between[: len(even) - 1]
    result[0] += between[0]
    if length % 2:
        result[-1] += between[-1]
    result *= np.float32(1 / 16)


def _double(planes: _Planes, axis: int, out: _Planes) -> None:
    source, result = _lines(planes, axis), _lines(out, axis)
    even = _lines(scratch_array(planes.shape), axis)
    np.multiply(source, np.float32(6), out=even)
    even[1:] += source[:-1]
    even[:-1] += source[1:]
    even[0] += source[min(1, len(source) - 1)]
    even[-1] += source[-1]
    np.multiply(even[: (len(result) + 1) // 2], np.float32(1 / 8), out=result[0::2])
    odd = result[1::2]
    inner = min(len(odd), len(source) - 1)
    between = even[:inner]
    np.add(source[:inner], source[1 : inner + 1], out=between)
    np.multiply(between, np.float32(0.5), out=odd[:inner])
    np.copyto(odd[inner:], source[inner : len(odd)])


def _lines(planes: _Planes, axis: int) -> _Planes:
    """Return a view whose first axis is ``axis``, -1 or -2; ``numpy.moveaxis`` takes longer."""
    if axis == -2:
        return planes.swapaxes(0, -2)
    return planes.transpose(planes.ndim - 1, *range(planes.ndim - 1))


def _copied(planes: _Planes) -> _Planes:
    """Return a contiguous copy, seen along its rows."""
    copy = scratch_array(planes.shape)
    np.copyto(copy, planes)
    return _lines(copy, -1)


def _with(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    sides = list(shape)
    sides[axis] = length
    return tuple(sides)
