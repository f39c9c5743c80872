"""Kernels of the guided filter: enlarging affine coefficients and applying them to a window."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.codes import read_pixels, write_row
from edgeexpo.imaging.fast.rows import copy_row

_BLOCK = 512
"""Pixels of a row that are computed together, in the processor's nearest caches."""


@compiled
def apply_affine(
    coefficients: np.ndarray,
    guide: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
    down: np.ndarray,
    before: np.ndarray,
    across: np.ndarray,
    clips: bool,
    out: np.ndarray,
) -> None:
    """Enlarge a window of the coefficients bilinearly, and apply them to the guide.

    The result is clipped to [0, 1] where ``clips`` is true.

    Args:
        coefficients: 3x(C+1)xhxw float32; C is a multiple of 3.
        guide: CxHxW float32, the window.
        above, below, down: Rows of the coefficients around each of H rows, and the second's weight.
        before, across: The same for each of W columns, without the second.
        out: 3xHxW float32, overwritten.
    """
    channels, height, width = guide.shape
    first = np.empty((3, channels + 1, _BLOCK), np.float32)
    second, step = np.empty_like(first), np.empty_like(first)
    seen, lines = np.empty((channels, _BLOCK), np.float32), np.empty((3, _BLOCK), np.float32)
    for left in range(0, width, _BLOCK):
        stop, last = min(left + _BLOCK, width), -1
        for y in range(height):
            if above[y] != last:
                known, last = above[y] == last + 1 and last >= 0, above[y]
                turn(coefficients, last, below[y], known, before, across, left, first, second)
                subtract(second, first, step)
            for i in range(channels):
                copy_row(guide[i, y, left:stop], seen[i])
            _apply_row(first, step, down[y], seen, lines, stop - left)
            for k in range(3):
                if clips:
                    clip_row(lines[k], out[k, y, left:stop])
                else:
                    copy_row(lines[k, : stop - left], out[k, y, left:stop])


@compiled
def apply_affine_to_bytes(
    coefficients: np.ndarray,
    frames: tuple[np.ndarray, ...],
    top: int,
    left: int,
    above: np.ndarray,
    below: np.ndarray,
    down: np.ndarray,
    before: np.ndarray,
    across: np.ndarray,
    out: np.ndarray,
    out_top: int,
    out_left: int,
) -> None:
    """Do as :func:`apply_affine` does, from codes to bytes, without float copies of the window.

    Args:
        coefficients, above, below, down, before, across: As there.
        frames: Interleaved codes, rows of 3 numbers a pixel.
        top, left: First row and column of the window in the frames.
        out: Interleaved bytes, clipped and rounded.
        out_top, out_left: First row and column of the window in ``out``.
    """
    channels, count = 3 * len(frames), len(across)
    most = np.float32(np.iinfo(frames[0].dtype).max)
    first = np.empty((3, channels + 1, _BLOCK), np.float32)
    second, step = np.empty_like(first), np.empty_like(first)
    guide = np.empty((channels, _BLOCK), np.float32)
    lines, rounded = np.empty((3, _BLOCK), np.float32), np.empty((3, _BLOCK), np.int32)
    for start in range(0, count, _BLOCK):
        size, last = min(_BLOCK, count - start), -1
        for y in range(len(down)):
            if above[y] != last:
                known, last = above[y] == last + 1 and last >= 0, above[y]
                turn(coefficients, last, below[y], known, before, across, start, first, second)
                subtract(second, first, step)
            read_pixels(frames, top + y, left + start, size, most, guide)
            _apply_row(first, step, down[y], guide, lines, size)
            at = 3 * (out_left + start)
            row = out[out_top + y, at : at + 3 * size]
            write_row(lines[0, :size], lines[1, :size], lines[2, :size], rounded, row)


@compiled
def _apply_row(
    first: np.ndarray,
    step: np.ndarray,
    weight: np.float32,
    guide: np.ndarray,
    out: np.ndarray,
    size: int,
) -> None:
    """Apply ``first + weight step``, 3x(C+1)xN, to ``size`` pixels of the guide, CxN."""
    channels = len(guide)
    for row in range(3):
        k, constant = At(row), At(channels)
        for n in range(size):
            x = At(n)
            out[k, x] = first[k, constant, x] + step[k, constant, x] * weight
        for channel in range(0, channels, 3):
            red, green, blue = At(channel), At(channel + 1), At(channel + 2)
            for n in range(size):
                x = At(n)
                out[k, x] += (
                    (first[k, red, x] + step[k, red, x] * weight) * guide[red, x]
                    + (first[k, green, x] + step[k, green, x] * weight) * guide[green, x]
                    + (first[k, blue, x] + step[k, blue, x] * weight) * guide[blue, x]
                )


@compiled
def clip_row(source: np.ndarray, out: np.ndarray) -> None:
    """Clip a row to [0, 1] into ``out``, whose length counts."""
    for n in range(len(out)):
        out[At(n)] = min(max(source[At(n)], np.float32(0)), np.float32(1))


@compiled
def turn(
    coefficients: np.ndarray,
    upper: int,
    lower: int,
    known: bool,
    before: np.ndarray,
    across: np.ndarray,
    left: int,
    first: np.ndarray,
    second: np.ndarray,
) -> None:
    """Enlarge two rows of the coefficients from column ``left`` on, KxCxN each.

    The upper one is ``second`` already if it is ``known``.
    """
    slopes = np.empty(coefficients.shape[3], np.float32)
    for k in range(len(first)):
        for i in range(first.shape[1]):
            if known:
                copy_row(second[k, i], first[k, i])
            else:
                _enlarge(coefficients[k, i, upper], slopes, before, across, left, first[k, i])
            _enlarge(coefficients[k, i, lower], slopes, before, across, left, second[k, i])


@compiled
def _enlarge(
    row: np.ndarray,
    slopes: np.ndarray,
    before: np.ndarray,
    across: np.ndarray,
    left: int,
    out: np.ndarray,
) -> None:
    """Enlarge a row of coefficients from column ``left`` on; ``slopes`` is memory of its length."""
    last = len(row) - 1
    for n in range(last):
        slopes[At(n)] = row[At(n + 1)] - row[At(n)]
    slopes[last] = 0
    for n in range(min(len(out), len(across) - left)):
        at = At(before[At(left + n)])
        out[At(n)] = row[at] + slopes[at] * across[At(left + n)]


@compiled
def subtract(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Subtract arrays of three axes; numbers behind the window's last column do not count."""
    for k in range(len(a)):
        for i in range(a.shape[1]):
            high, low, difference = a[k, i], b[k, i], out[k, i]
            for n in range(len(high)):
                difference[At(n)] = high[At(n)] - low[At(n)]
