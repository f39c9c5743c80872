"""Gaussian and Laplacian pyramids of planes (P. Burt, E. Adelson, 1983), filter 1 4 6 4 1.

Planes are ...xHxW: an axis of three in the innermost place would make every operation slow. Borders
are reflected as by OpenCV's ``pyrDown`` and ``pyrUp`` (the tests hold the two together).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[np.float32]


def gaussian_pyramid(planes: Planes, levels: int) -> list[Planes]:
    """``planes`` and ``levels`` copies of them, each half the size of the one before."""
    pyramid = [planes]
    for _ in range(levels):
        pyramid.append(downsample(pyramid[-1]))
    return pyramid


def laplacian_pyramid(planes: Planes, levels: int) -> list[Planes]:
    """``levels`` bands of detail and the smallest copy; upsampling and adding restores all."""
    pyramid = gaussian_pyramid(planes, levels)
    for level in range(levels):
        height, width = pyramid[level].shape[-2:]
        coarse = upsample(pyramid[level + 1], (height, width))
        pyramid[level] = np.subtract(pyramid[level], coarse, out=coarse)
    return pyramid


def downsample(planes: Planes) -> Planes:
    """Half size, rounded up."""
    return _halved(_halved(planes, -2), -1)


def upsample(planes: Planes, size: tuple[int, int]) -> Planes:
    """Double size, cut to ``size`` (height, width), interpolated by the same filter."""
    return _doubled(_doubled(planes, -1, size[1]), -2, size[0])


def _halved(planes: Planes, axis: int) -> Planes:
    moved = np.moveaxis(planes, axis, 0)
    length = len(moved)
    if length == 1:
        return planes
    even, odd = moved[0::2], moved[1::2]
    result = even * np.float32(6)
    result[1:] += even[:-1]
    result[:-1] += even[1:]
    result[0] += even[min(1, len(even) - 1)]
    result[-1] += even[-1] if length % 2 == 0 else even[-2]
    between = odd * np.float32(4)
    result[: len(odd)] += between
    result[1:] += between[: len(even) - 1]
    result[0] += between[0]
    if length % 2:
        result[-1] += between[-1]
    result *= np.float32(1 / 16)
    return np.moveaxis(result, 0, axis)


def _doubled(planes: Planes, axis: int, length: int) -> Planes:
    moved = np.moveaxis(planes, axis, 0)
    shape = list(planes.shape)
    shape[axis] = length
    result = np.empty(shape, np.float32)
    out = np.moveaxis(result, axis, 0)
    even = moved * np.float32(6)
    even[1:] += moved[:-1]
    even[:-1] += moved[1:]
    even[0] += moved[min(1, len(moved) - 1)]
    even[-1] += moved[-1]
    np.multiply(even[: (length + 1) // 2], np.float32(1 / 8), out=out[0::2])
    odd = out[1::2]
    inner = min(len(odd), len(moved) - 1)
    np.add(moved[:inner], moved[1 : inner + 1], out=odd[:inner])
    odd[inner:] = moved[inner : len(odd)] * np.float32(2)
    odd *= np.float32(0.5)
    return result
