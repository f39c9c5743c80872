"""Kernels of Gaussian and Laplacian pyramids, CxHxW float32, borders reflected.

They round exactly as their twins in :mod:`edgeexpo.imaging.pyramids`.
"""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.rows import copy_row


@compiled
def downsample(planes: np.ndarray, out: np.ndarray) -> None:
    """Scale planes to half their size, rounded up."""
    count, height, width = planes.shape
    line = np.empty(width, np.float32)
    for c in range(count):
        for y in range(out.shape[1]):
            if height == 1:
                copy_row(planes[c, 0], line)
            else:
                _weigh_rows(
                    planes[c, _reflected(2 * y - 2, height)],
                    planes[c, _reflected(2 * y - 1, height)],
                    planes[c, 2 * y],
                    planes[c, _reflected(2 * y + 1, height)],
                    planes[c, _reflected(2 * y + 2, height)],
                    line,
                )
            _halve(line, out[c, y])


@compiled
def add_upsampled(coarse: np.ndarray, total: np.ndarray) -> None:
    """Add planes of half the size, enlarged, to ``total``."""
    rows = np.empty((4, total.shape[2]), np.float32)
    for c in range(len(total)):
        for y in range(total.shape[1]):
            _upsampled_row(coarse[c], y, rows)
            line, change = total[c, y], rows[3]
            for n in range(len(line)):
                line[At(n)] += change[At(n)]


@compiled
def add_detail(
    planes: np.ndarray, coarse: np.ndarray, share: np.ndarray, total: np.ndarray
) -> None:
    """Add the band of detail that ``coarse`` lacks to ``total``, times HxW shares."""
    rows = np.empty((4, total.shape[2]), np.float32)
    for c in range(len(total)):
        for y in range(total.shape[1]):
            _upsampled_row(coarse[c], y, rows)
            _add_product(planes[c, y], rows[3], share[y], total[c, y])


@compiled
def _add_product(
    values: np.ndarray, less: np.ndarray, share: np.ndarray, total: np.ndarray
) -> None:
    for n in range(len(total)):
        x = At(n)
        total[x] += (values[x] - less[x]) * share[x]


@compiled
def _upsampled_row(coarse: np.ndarray, y: int, rows: np.ndarray) -> None:
    """Write row ``y`` of the enlarged plane to ``rows[3]``.

    The first three of ``rows`` keep the rows of ``coarse`` around it, enlarged along the row. They
    are made at even ``y``, so rows have to be asked for in order.
    """
    last, at = len(coarse) - 1, y // 2
    if y % 2 == 0:
        if y == 0:
            _double(coarse[0], rows[1])
            _double(coarse[min(1, last)], rows[2])
            copy_row(rows[2], rows[0])
        else:
            copy_row(rows[1], rows[0])
            copy_row(rows[2], rows[1])
            _double(coarse[min(at + 1, last)], rows[2])
        _enlarge_even(rows[0], rows[1], rows[2], rows[3])
    elif at < last:
        _enlarge_odd(rows[1], rows[2], rows[3])
    else:
        _enlarge_odd(rows[1], rows[1], rows[3])


@compiled
def _enlarge_even(before: np.ndarray, here: np.ndarray, after: np.ndarray, out: np.ndarray) -> None:
    six, eighth = np.float32(6), np.float32(1 / 8)
    for n in range(len(out)):
        x = At(n)
        out[x] = (here[x] * six + before[x] + after[x]) * eighth


@compiled
def _enlarge_odd(here: np.ndarray, after: np.ndarray, out: np.ndarray) -> None:
    half = np.float32(0.5)
    for n in range(len(out)):
        x = At(n)
        out[x] = (here[x] + after[x]) * half


@compiled
def _double(source: np.ndarray, out: np.ndarray) -> None:
    """Enlarge a row to twice its length, or one number less."""
    six, half, eighth = np.float32(6), np.float32(0.5), np.float32(1 / 8)
    last = len(source) - 1
    for n in range(1, last):
        x = At(n)
        here, after = source[x], source[x + At(1)]
        out[At(2) * x] = (here * six + source[x - At(1)] + after) * eighth
        out[At(2) * x + At(1)] = (here + after) * half
    for end in (0, last):
        before, after = source[end - 1 if end else min(1, last)], source[min(end + 1, last)]
        out[2 * end] = (source[end] * six + before + after) * eighth
        if 2 * end + 1 < len(out):
            out[2 * end + 1] = (source[end] + after) * half


@compiled
def _halve(source: np.ndarray, out: np.ndarray) -> None:
    """Scale a row to half its length, rounded up."""
    length, last = len(source), len(out) - 1
    if length == 1:
        out[0] = source[0]
        return
    six, four, share = np.float32(6), np.float32(4), np.float32(1 / 16)
    for n in range(1, last):
        x = At(2 * n)
        total = source[x] * six + source[x - At(2)] + source[x + At(2)]
        total = total + source[x + At(1)] * four + source[x - At(1)] * four
        out[At(n)] = total * share
    for n in (0, last):
        end = 2 * n
        total = source[end] * six + source[_reflected(end - 2, length)]
        total += source[_reflected(end + 2, length)]
        total += source[_reflected(end + 1, length)] * four
        total += source[_reflected(end - 1, length)] * four
        out[n] = total * share


@compiled
def _weigh_rows(
    first: np.ndarray,
    second: np.ndarray,
    third: np.ndarray,
    fourth: np.ndarray,
    fifth: np.ndarray,
    out: np.ndarray,
) -> None:
    six, four, share = np.float32(6), np.float32(4), np.float32(1 / 16)
    for n in range(len(out)):
        x = At(n)
        total = third[x] * six + first[x] + fifth[x]
        out[x] = (total + fourth[x] * four + second[x] * four) * share


@compiled
def _reflected(position: int, length: int) -> int:
    """Return the position that a position up to two outside a row of two or more stands for."""
    period = 2 * (length - 1)
    position = abs(position) % period
    return position if position < length else period - position
