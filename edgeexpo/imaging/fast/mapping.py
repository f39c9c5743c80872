"""Kernels of intensity mapping: counting codes, and looking pairs of codes up."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled


@compiled
def count_codes(codes: np.ndarray, counts: np.ndarray) -> None:
    """Add the number of pixels at each code, of interleaved bytes, Hx3W, to 3x256 ``counts``."""
    for y in range(len(codes)):
        row = codes[y]
        for n in range(len(row) // 3):
            x = At(3 * n)
            counts[0, row[x]] += 1
            counts[1, row[x + At(1)]] += 1
            counts[2, row[x + At(2)]] += 1


@compiled
def look_up_pairs(
    first: np.ndarray,
    second: np.ndarray,
    table: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
) -> None:
    """Look up pairs of interleaved bytes, Hx3W, in a 3x256x256 table, into three planes, HxW."""
    for y in range(len(first)):
        a, b = first[y], second[y]
        one, two, three = red[y], green[y], blue[y]
        for n in range(len(one)):
            x = At(3 * n)
            one[At(n)] = table[0, a[x], b[x]]
            two[At(n)] = table[1, a[x + At(1)], b[x + At(1)]]
            three[At(n)] = table[2, a[x + At(2)], b[x + At(2)]]
