"""Least-squares affine functions of a guide around every pixel, the core of the guided filter.

Follows K. He, J. Sun, X. Tang, "Guided image filtering", TPAMI 35(6), 2013. Pictures are CxHxW
planes.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.scratch import scope, scratch_array

_Planes = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
"""A float64 array of coefficients."""

_IDENTITY = np.eye(3)

_UNSEEN = (1 / 255) ** 2 / 12
"""Variance of rounding to 8 bits. A guide that varies less carries no information."""


def fit_affine(guide: _Planes, target: _Planes, radius: int, eps: float) -> _Planes:
    """Find the affine functions that turn the guide into the target around every pixel.

    First one function is fitted to the whole picture. Then the filter is fitted to the residual,
    so that slopes shrink towards the whole picture's function where the guide is flat.

    Args:
        guide: CxHxW float32, contiguous.
        target: 3xHxW float32, contiguous.
        radius: Window radius in pixels. Windows are cut off at the border.
        eps: Regulariser that is added to the variance of each channel of the guide.

    Returns:
        3x(C+1)xHxW float32: for each channel of the target, C slopes and then the constant.
    """
    channels, *size = guide.shape
    result = scratch_array((3, channels + 1, *size))
    with scope():
        slope, constant = _whole(guide, target)
        rest = scratch_array(target.shape)
        _affine(guide, slope, constant, rest)
        np.subtract(target, rest, out=rest)
        means, rest_means = box_mean(guide, radius), box_mean(rest, radius)
        covariance = scratch_array((channels, channels, *size))
        slopes = scratch_array((channels, 3, *size))
        for i in range(channels):
            for j in range(i, channels):
                _moment(guide[i], guide[j], means[i], means[j], radius, covariance[i, j])
            covariance[i, i] += np.float32(eps)
            for k in range(3):
                _moment(guide[i], rest[k], means[i], rest_means[k], radius, slopes[i, k])
        _solve(covariance, slopes)
        local = scratch_array(result.shape)
        np.copyto(local[:, :channels], slopes.swapaxes(0, 1))
        np.copyto(local[:, channels], rest_means)
        part = scratch_array((3, *size))
        for i in range(channels):
            local[:, channels] -= np.multiply(slopes[i], means[i], out=part)
        for k in range(3):
            np.copyto(result[k], box_mean(local[k], radius))
            for i, share in enumerate((*slope[k], constant[k])):
                result[k, i] += np.float32(share)
    return result


def fit_bounded(
    guides: _Planes, target: _Planes, radius: int, eps: float, bounds: tuple[float, float]
) -> _Planes:
    """Find affine functions of several guides for one plane around every pixel, of bounded slope.

    A ridge regression is solved in every window. Its slopes are cut off at ``bounds``, its
    constants follow them, and both are averaged over the windows that hold a pixel.

    Args:
        guides: CxHxW float32, contiguous.
        target: HxW float32, contiguous.
        radius: Window radius in pixels. Windows are cut off at the border.
        eps: Regulariser that is added to the variance of each guide.
        bounds: Least and largest slope.

    Returns:
        (C+1)xHxW float32: a slope for each guide, and the constant.
    """
    count, *size = guides.shape
    result = scratch_array((count + 1, *size))
    with scope():
        means, target_mean = box_mean(guides, radius), box_mean(target[None], radius)[0]
        covariance = scratch_array((count, count, *size))
        local, part = scratch_array((count + 1, *size)), scratch_array(size)
        for i in range(count):
            for j in range(i, count):
                _moment(guides[i], guides[j], means[i], means[j], radius, covariance[i, j])
            covariance[i, i] += np.float32(eps)
            _moment(guides[i], target, means[i], target_mean, radius, local[i])
        _solve(covariance, local[:count, None])
        np.clip(local[:count], bounds[0], bounds[1], out=local[:count])
        np.copyto(local[count], target_mean)
        for slope, mean in zip(local, means, strict=False):
            local[count] -= np.multiply(slope, mean, out=part)
        np.copyto(result, box_mean(local, radius))
    return result


def _whole(guide: _Planes, target: _Planes) -> tuple[Doubles, Doubles]:
    """Fit one affine function to the whole picture by least squares.

    In directions in which the guide does not vary, the function is the mean of the frames.

    Returns:
        3xC slopes and 3 constants.
    """
    channels = len(guide)
    mean = np.tile(_IDENTITY, channels // 3) / (channels // 3)
    with scope():
        pixels, change, part = (
            scratch_array((count, guide[0].size), np.float64) for count in (channels, 3, 3)
        )
        np.copyto(pixels, guide.reshape(pixels.shape))
        np.copyto(change, target.reshape(change.shape))
        change -= np.matmul(mean, pixels, out=part)
        centre, change_centre = pixels.mean(1), change.mean(1)
        pixels -= centre[:, None]
        values, vectors = np.linalg.eigh(pixels @ pixels.T / pixels.shape[1])
        cross = vectors.T @ (pixels @ change.T) / pixels.shape[1]
    inverse = (values > _UNSEEN) / np.maximum(values, _UNSEEN)
    slope = (vectors @ (cross * inverse[:, None])).T
    return mean + slope, change_centre - slope @ centre


def _affine(guide: _Planes, slope: Doubles, constant: Doubles, out: _Planes) -> None:
    """Apply one affine function to every pixel of the guide and write 3xHxW to ``out``."""
    flat = out.reshape(3, -1)
    np.matmul(slope.astype(np.float32), guide.reshape(len(guide), -1), out=flat)
    flat += constant.astype(np.float32)[:, None]


def _moment(
    a: _Planes, b: _Planes, mean_a: _Planes, mean_b: _Planes, radius: int, out: _Planes
) -> None:
    """Compute the covariance of ``a`` and ``b`` over windows, HxW."""
    kernels = kernel_module("local_affine")
    with scope():
        if kernels is not None:
            memory = scratch_array(a.shape)
            kernels.moment(a, b, mean_a, mean_b, radius, memory, out)
            return
        product = np.multiply(a, b, out=scratch_array(a.shape))
        np.copyto(out, box_mean(product[None], radius)[0])
        out -= np.multiply(mean_a, mean_b, out=product)


def _solve(matrix: _Planes, right: _Planes) -> None:
    """Replace ``right``, CxKxHxW, by the solutions of symmetric positive definite equations.

    Gaussian elimination runs at every pixel. Only the upper triangle of ``matrix``, CxCxHxW, is
    read, and it is overwritten.
    """
    count, kernels = len(matrix), kernel_module("local_affine")
    if kernels is not None:
        kernels.solve(matrix, right)
        return
    with scope():
        factor, part, parts = (
            scratch_array(matrix.shape[2:]),
            scratch_array(matrix.shape[2:]),
            scratch_array(right[0].shape),
        )
        for p in range(count):
            for i in range(p + 1, count):
                np.divide(matrix[p, i], matrix[p, p], out=factor)
                for j in range(i, count):
                    matrix[i, j] -= np.multiply(factor, matrix[p, j], out=part)
                right[i] -= np.multiply(factor, right[p], out=parts)
        for p in reversed(range(count)):
            for j in range(p + 1, count):
                right[p] -= np.multiply(matrix[p, j], right[j], out=parts)
            right[p] /= matrix[p, p]


def box_mean(planes: _Planes, radius: int) -> _Planes:
    """Average over windows of ``2 radius + 1`` pixels a side that are cut off at the border."""
    result, kernels = scratch_array(planes.shape), kernel_module("local_affine")
    if kernels is not None:
        kernels.box(planes, radius, result)
        return result
    with scope():
        down = scratch_array(planes.shape)
        for axis, source, total in ((1, planes, down), (2, down, result)):
            lines, sums = source.swapaxes(0, axis), total.swapaxes(0, axis)
            np.copyto(total, source)
            for step in range(1, min(radius, len(lines) - 1) + 1):
                sums[step:] += lines[:-step]
                sums[:-step] += lines[step:]
            sums /= _counts(len(sums), radius)[:, None, None]
    return result


@functools.lru_cache
def _counts(length: int, radius: int) -> _Planes:
    """Count the pixels of each window along an axis."""
    position = np.arange(length)
    counts = np.minimum(position, radius) + np.minimum(position[::-1], radius) + 1
    return np.asarray(counts, np.float32)
