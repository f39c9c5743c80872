"""YUV frames in compiled code equal NumPy's, in every layout, matrix, range and siting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgeexpo.frame_format import MATRICES, SITINGS, FrameFormat
from edgeexpo.imaging.kernels import numba_problem, using_kernels
from edgeexpo.imaging.raster import whole_picture
from edgeexpo.runtime.frames import empty_frame, from_rgb, to_rgb

pytestmark = pytest.mark.skipif(numba_problem() is not None, reason="needs the extra fast")

FORMATS = [
    FrameFormat(layout, matrix=matrix, siting=siting, full_range=full)
    for layout, matrix, siting, full in itertools.product(
        ("nv12", "i420", "p010"), MATRICES, SITINGS, (True, False)
    )
]


@pytest.mark.parametrize("layout", FORMATS, ids=str)
@pytest.mark.parametrize("size", [(2, 2), (34, 50)])
def test_forms_agree(layout, size) -> None:
    rng = np.random.default_rng(0)
    frame = empty_frame(*size, layout)
    frame[...] = rng.integers(0, np.iinfo(frame.dtype).max, frame.shape, frame.dtype)
    picture = rng.random((*size, 3), np.float32) * np.float32(1.2) - np.float32(0.1)
    read, written = [], []
    for form in ("numpy", "numba"):
        with using_kernels(form):
            raster = to_rgb(frame, layout)
            read.append([whole_picture(raster).copy(), raster[slice(1, 2), slice(1, 2)].copy()])
            out = empty_frame(*size, layout)
            from_rgb(picture, layout, out, 16)
            written.append(out)
    np.testing.assert_array_equal(read[0][0], read[1][0])
    np.testing.assert_array_equal(read[0][1], read[1][1])
    np.testing.assert_array_equal(*written)
