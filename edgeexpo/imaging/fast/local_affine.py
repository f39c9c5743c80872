"""Kernels of the guided filter's fit: means over windows, and the equations of every pixel.

Both round exactly as their twins in :mod:`edgeexpo.imaging.local_affine`.
"""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.rows import copy_row


@compiled
def box(planes: np.ndarray, radius: int, out: np.ndarray) -> None:
    """Average CxHxW planes over windows of ``2 radius + 1`` pixels a side, cut at the border."""
    for c in range(len(planes)):
        _box(planes[c], radius, out[c])


@compiled
def moment(
    a: np.ndarray,
    b: np.ndarray,
    mean_a: np.ndarray,
    mean_b: np.ndarray,
    radius: int,
    memory: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the covariance of ``a`` and ``b`` over windows, HxW; ``memory`` is HxW."""
    for y in range(len(a)):
        first, second, product = a[y], b[y], memory[y]
        for n in range(len(product)):
            product[At(n)] = first[At(n)] * second[At(n)]
    _box(memory, radius, out)
    for y in range(len(a)):
        _subtract(out[y], mean_a[y], mean_b[y])


@compiled
def _box(plane: np.ndarray, radius: int, out: np.ndarray) -> None:
    height, width = plane.shape
    line, seen = np.empty(width, np.float32), np.empty(width, np.float32)
    for x in range(width):
        seen[x] = min(x, radius) + min(width - 1 - x, radius) + 1
    for y in range(height):
        copy_row(plane[y], line)
        for step in range(1, min(radius, height - 1) + 1):
            if y >= step:
                _add(line, plane[y - step])
            if y + step < height:
                _add(line, plane[y + step])
        rows = np.float32(min(y, radius) + min(height - 1 - y, radius) + 1)
        for n in range(width):
            line[At(n)] /= rows
        total = out[y]
        copy_row(line, total)
        for step in range(1, min(radius, width - 1) + 1):
            _add(total[step:], line[:-step])
            _add(total[:-step], line[step:])
        _divide(total, seen, total)


@compiled
def solve(matrix: np.ndarray, right: np.ndarray) -> None:
    """Replace ``right``, CxKxHxW, by solutions of symmetric equations; overwrites ``matrix``."""
    count, height, width = len(matrix), matrix.shape[2], matrix.shape[3]
    factor = np.empty(width, np.float32)
    for y in range(height):
        for p in range(count):
            for i in range(p + 1, count):
                _divide(matrix[p, i, y], matrix[p, p, y], factor)
                for j in range(i, count):
                    _subtract(matrix[i, j, y], factor, matrix[p, j, y])
                for k in range(right.shape[1]):
                    _subtract(right[i, k, y], factor, right[p, k, y])
        for back in range(count):
            p = count - 1 - back
            for k in range(right.shape[1]):
                for j in range(p + 1, count):
                    _subtract(right[p, k, y], matrix[p, j, y], right[j, k, y])
                _divide(right[p, k, y], matrix[p, p, y], right[p, k, y])


@compiled
def _add(total: np.ndarray, part: np.ndarray) -> None:
    for n in range(len(total)):
        total[At(n)] += part[At(n)]


@compiled
def _divide(above: np.ndarray, below: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        out[At(n)] = above[At(n)] / below[At(n)]


@compiled
def _subtract(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    for n in range(len(total)):
        total[At(n)] -= a[At(n)] * b[At(n)]
