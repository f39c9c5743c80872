"""Kernel of :mod:`edgeexpo.imaging.coded_resize`: weighted sums of codes along both axes."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled


@compiled
def summed(
    lines: np.ndarray,
    first: np.ndarray,
    weights: np.ndarray,
    first_column: np.ndarray,
    column_weights: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write weighted sums of H rows of 3W codes to ``out``, 3xhxw float64; they are integers.

    Sums of rows have the dtype of ``weights``, and those of columns 64 bits.
    """
    height, length = lines.shape
    taps, column_taps = weights.shape[1], column_weights.shape[1]
    sums = np.empty(length, weights.dtype)
    for t in range(len(first)):
        sums[:] = 0
        for tap in range(min(taps, height - first[t])):
            if weights[t, tap]:
                _add(sums, lines[first[t] + tap], weights[t, tap])
        for j in range(len(first_column)):
            start = first_column[j]
            red = green = blue = np.int64(0)
            for tap in range(min(column_taps, length // 3 - start)):
                weight, at = column_weights[j, tap], 3 * (start + tap)
                red += weight * sums[at]
                green += weight * sums[at + 1]
                blue += weight * sums[at + 2]
            out[0, t, j], out[1, t, j], out[2, t, j] = red, green, blue


@compiled
def _add(sums: np.ndarray, line: np.ndarray, weight: int) -> None:
    for n in range(len(sums)):
        sums[At(n)] += weight * sums.dtype.type(line[At(n)])


@compiled
def weigh_plane(
    plane: np.ndarray,
    index: np.ndarray,
    weight: np.ndarray,
    column_index: np.ndarray,
    column_weight: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write weighted sums of an HxW float32 plane along both axes, tap by tap, to hxw.

    Args:
        plane: The plane.
        index, weight: Rows of the plane and their weights, (taps, h).
        column_index, column_weight: The same along rows, (taps, w).
        out: hxw float32.
    """
    line = np.empty(plane.shape[1], np.float32)
    for t in range(len(out)):
        line[:] = 0
        for tap in range(len(index)):
            if tap == 0 or weight[tap, t]:
                _add_weighted(line, plane[index[tap, t]], weight[tap, t])
        target = out[t]
        for j in range(len(target)):
            total = np.float32(0)
            for tap in range(len(column_index)):
                total += line[column_index[tap, j]] * column_weight[tap, j]
            target[j] = total


@compiled
def _add_weighted(sums: np.ndarray, line: np.ndarray, weight: np.float32) -> None:
    for n in range(len(sums)):
        sums[At(n)] += line[At(n)] * weight
