"""Resizing of integer codes in integers: exact, so that NumPy and compiled kernels agree bitwise.

An output pixel of :func:`edgeexpo.imaging.resize.resize` is a mean whose weights are ratios of
integers. So the weighted sum of codes is an integer as well, and only its division rounds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.raster import Window, for_each, windows
from edgeexpo.imaging.scratch import planar, planes, scratch_array

_OUTPUT_ROWS = 32
"""Rows of the result that one strip of the picture makes."""


class WholeWeights:
    """The weights along one axis, in integers.

    Args:
        first: Input position of every output position's first weight, (n_out,).
        weights: (n_out, taps) int64; missing taps are 0.

    Attributes:
        first: As given.
        total: Sum of each output position's weights, (n_out,) float64.
        largest: The largest of these sums.
    """

    def __init__(self, first: npt.NDArray[np.intp], weights: npt.NDArray[np.int64]) -> None:
        self.first = first
        self.total = weights.sum(1).astype(np.float64)
        self.largest = int(weights.sum(1).max())
        self._as_kind: dict[str, np.ndarray] = {"int64": np.ascontiguousarray(weights)}

    def weights(self, kind: str = "int64") -> np.ndarray:
        """Return the weights, (n_out, taps), in the dtype of this name; they are kept."""
        if kind not in self._as_kind:
            self._as_kind[kind] = self._as_kind["int64"].astype(kind)
        return self._as_kind[kind]


def resize_codes(
    picture: CodedPicture, rows: WholeWeights, columns: WholeWeights, workers: int
) -> Picture:
    """Scale a picture of codes by weights along both axes, rows first.

    Args:
        picture: HxWx3 codes.
        rows, columns: The weights along the axes.
        workers: Number of threads.

    Returns:
        hxwx3 float32 in [0, 1], the weighted means of the codes divided by the largest code.
    """
    height, width = len(rows.first), len(columns.first)
    result = planar((height, width, 3))
    area = np.multiply(rows.total[:, None], columns.total, out=_doubles(height, width))
    area *= picture.most
    kernels, largest = kernel_module("weighted_sums"), rows.largest * picture.most
    if kernels is None:
        # Single precision is exact for integers below 2**24, and halves the time.
        kind, compute = "float32" if largest < 1 << 24 else "float64", _summed
        across = columns.weights("float64")
    else:
        kind, compute = "int32" if largest < 1 << 31 else "int64", kernels.summed
        across = columns.weights()

    def strip(window: Window) -> None:
        span = window[0]
        first, weights = rows.first[span], rows.weights(kind)[span]
        top = int(first[0])
        bottom = min(int(first[-1]) + weights.shape[1], picture.shape[0])
        codes = picture.packed((slice(top, bottom), slice(0, picture.shape[1])))
        lines = codes.reshape(len(codes), -1)
        sums = scratch_array((3, len(first), width), np.float64)
        compute(lines, first - top, weights, columns.first, across, sums)
        np.divide(sums, area[span], out=sums)
        np.copyto(planes(result)[:, span], sums, casting="same_kind")

    for_each(windows((height, width), _OUTPUT_ROWS), strip, workers)
    return result


def _summed(
    lines: np.ndarray,
    first: npt.NDArray[np.intp],
    weights: npt.NDArray[np.floating],
    first_column: npt.NDArray[np.intp],
    column_weights: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
) -> None:
    """Write weighted sums of H rows of 3W codes to ``out``, 3xhxw float64; they are integers."""
    short = scratch_array((len(first), lines.shape[1]), weights.dtype)
    values = scratch_array((weights.shape[1], lines.shape[1]), weights.dtype)
    for start, weight, line in zip(first, weights, short, strict=True):
        near = values[: len(lines) - start]
        np.copyto(near, lines[start : start + len(near)], casting="unsafe")
        np.einsum("y,yx->x", weight[: len(near)], near, out=line)
    turned = scratch_array((lines.shape[1] // 3, 3, len(first)), np.float64)
    np.copyto(turned, short.reshape(len(first), -1, 3).transpose(1, 2, 0))
    for index, (start, weight) in enumerate(zip(first_column, column_weights, strict=True)):
        near = turned[start : start + len(weight)]
        np.einsum("x,xcy->cy", weight[: len(near)], near, out=out[:, :, index])


def _doubles(height: int, width: int) -> npt.NDArray[np.float64]:
    return scratch_array((height, width), np.float64)
