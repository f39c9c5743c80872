"""Kernels of exposure fusion: the weight of each pixel of a frame."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.rows import ROUNDING

_LOG2_E = np.float32(1.4426950408889634)
_LN2, _LN2_REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""The natural logarithm of 2: a part whose multiples are exact, and the rest."""

_TERMS = tuple(np.float32(1 / n) for n in (720, 120, 24, 6, 2, 1, 1))
"""Coefficients of the exponential series, from the sixth power down."""


@compiled
def weigh(
    planes: np.ndarray,
    contrast: bool,
    saturation: bool,
    exposedness: bool,
    slope: np.float32,
    floor: np.float32,
    luma: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write a frame's weights, HxW.

    Args:
        planes: 3xHxW float32 in [0, 1].
        contrast, saturation, exposedness: Whether each measure counts.
        slope: Negative factor of the squared distance from mid-grey, in the exponent.
        floor: Constant that is added to every weight.
        luma: Memory, HxW float32.
        out: HxW float32.
    """
    height, width = out.shape
    if contrast:
        for y in range(height):
            _luma(planes[0, y], planes[1, y], planes[2, y], luma[y])
    for y in range(height):
        line = out[y]
        if contrast:
            above = luma[y - 1 if y else min(1, height - 1)]
            below = luma[y + 1 if y + 1 < height else max(height - 2, 0)]
            _laplacian(above, luma[y], below, line)
        else:
            line[:] = 1
        if saturation:
            _saturation(planes[0, y], planes[1, y], planes[2, y], line)
        if exposedness:
            _exposedness(planes[0, y], planes[1, y], planes[2, y], slope, line)
        for n in range(width):
            line[At(n)] += floor


@compiled
def divide(weights: np.ndarray, total: np.ndarray) -> None:
    """Divide KxN weights by their sums over K; ``total`` is memory, N float32."""
    total[:] = 0
    for k in range(len(weights)):
        line = weights[k]
        for n in range(len(total)):
            total[At(n)] += line[At(n)]
    for k in range(len(weights)):
        line = weights[k]
        for n in range(len(total)):
            line[At(n)] /= total[At(n)]


@compiled
def _luma(red: np.ndarray, green: np.ndarray, blue: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        x = At(n)
        total = red[x] * np.float32(0.299) + green[x] * np.float32(0.587)
        out[x] = total + blue[x] * np.float32(0.114)


@compiled
def _laplacian(above: np.ndarray, here: np.ndarray, below: np.ndarray, out: np.ndarray) -> None:
    last = len(out) - 1
    for n in range(1, last):
        x = At(n)
        around = above[x] + below[x] + here[x - At(1)] + here[x + At(1)]
        out[x] = abs(around - here[x] * np.float32(4))
    for end in (0, last):
        left, right = end - 1 if end else min(1, last), end + 1 if end < last else max(last - 1, 0)
        around = above[end] + below[end] + here[left] + here[right]
        out[end] = abs(around - here[end] * np.float32(4))


@compiled
def _saturation(red: np.ndarray, green: np.ndarray, blue: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        x = At(n)
        r, g, b = red[x], green[x], blue[x]
        mean = (r + g + b) * np.float32(1 / 3)
        distance = (r - mean) * (r - mean) + (g - mean) * (g - mean) + (b - mean) * (b - mean)
        out[x] *= np.sqrt(distance)


@compiled
def _exposedness(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, slope: np.float32, out: np.ndarray
) -> None:
    half = np.float32(0.5)
    for n in range(len(out)):
        x = At(n)
        r, g, b = red[x] - half, green[x] - half, blue[x] - half
        out[x] *= _exponential((r * r + g * g + b * b) * slope)


@compiled
def _exponential(value: np.float32) -> np.float32:
    """Compute the exponential of a number up to 0, to 3e-7 of its size.

    It is a series over half an octave, scaled by a power of two. The processor computes several
    numbers at once, unlike the C library's function.
    """
    least = max(value, np.float32(-87))
    whole = least * _LOG2_E + ROUNDING - ROUNDING
    rest = least - whole * _LN2 - whole * _LN2_REST
    series = _TERMS[0]
    for term in _TERMS[1:]:
        series = series * rest + term
    return series * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
