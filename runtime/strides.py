"""Check that the strides of a frame describe memory that a frame can occupy."""

from __future__ import annotations

import numpy as np
from numpy.lib.array_utils import byte_bounds

from edgeexpo.errors import PictureError


def check_strides(array: np.ndarray, written: bool = False) -> None:
    """Refuse strides that an app computed wrongly for its buffer.

    Args:
        array: A frame, or one plane of a frame.
        written: True for an array that is going to be written. A stride of 0, which repeats a
            number, is then refused as well.

    Raises:
        PictureError: Elements overlap, or lie outside the array into which ``array`` is a view.
    """
    if array.size == 0:
        return
    size = "x".join(map(str, array.shape))
    strides = ", ".join(map(str, array.strides))
    axes = [(abs(stride), side) for stride, side in zip(array.strides, array.shape, strict=True)]
    reach = array.itemsize
    for stride, side in sorted(axis for axis in axes if axis[1] > 1):
        if stride < reach and (stride or written):
            raise PictureError(
                f"found {size} {array.dtype} whose strides of {strides} bytes overlap; expected "
                "rows at least as far apart as they are long"
            )
        reach += stride * (side - 1)
    low, high = byte_bounds(array)
    owner = array.base
    while owner is not None:
        if isinstance(owner, np.ndarray):
            start, stop = byte_bounds(owner)
            if low < start or high > stop:
                raise PictureError(
                    f"found {size} {array.dtype} with strides of {strides} bytes that lies partly "
                    f"outside its buffer of {stop - start} bytes; expected a buffer that holds it"
                )
        owner = getattr(owner, "base", None)
