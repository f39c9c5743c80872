"""Kernel of :mod:`edgeexpo.imaging.coded_resize`: weighted sums of codes along both axes."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import compiled


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
    for x in range(len(sums)):
        sums[x] += weight * sums.dtype.type(line[x])
