"""A stage's picture as bytes, however the stage writes them."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.coded import ByteWriter
from edgeexpo.imaging.raster import Raster, whole_picture, windows


def as_bytes(picture: Raster) -> np.ndarray:
    """Return the codes, HxWx3 int, of a picture that compiled kernels may write as bytes."""
    if not isinstance(picture, ByteWriter):
        return np.rint(whole_picture(picture) * 255).astype(int)
    out = np.zeros(picture.shape, np.uint8)
    for window in windows(out.shape, 16, 24):
        picture.write_bytes(window, out)
    return out.astype(int)
