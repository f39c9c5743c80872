"""Steps on a row of numbers that several kernels take."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled

ROUNDING = np.float32(12582912)
"""1.5 * 2**23: added to a smaller number and subtracted again it rounds as ``numpy.rint`` does."""


@compiled
def copy_row(source: np.ndarray, out: np.ndarray) -> None:
    """Copy a row to the start of ``out``, which is as long or longer."""
    for n in range(len(source)):
        out[At(n)] = source[At(n)]
