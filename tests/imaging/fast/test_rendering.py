"""Rendering in compiled code shows what NumPy shows."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.coded import ByteWriter, CodedPicture
from edgeexpo.imaging.raster import whole_picture, windows
from edgeexpo.imaging.rendering import FUSION_RENDERING, rendered_by_windows
from tests.support.byte_pictures import as_bytes

SIZES = [((7, 9), (19, 31)), ((24, 40), (101, 61)), ((9, 7), (33, 600)), ((4, 5), (40, 17))]
"""Sizes of the small picture and of the frames."""


def pictures(size, count, kind=np.uint8):
    codes = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (count, *size, 3))
    return [CodedPicture(frame.astype(kind)) for frame in codes]


@pytest.mark.parametrize(("small", "size"), SIZES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_pictures_are_numpys(both, small, size, count) -> None:
    frames = pictures(size, count)
    tone = np.random.default_rng(1).random((*small, 3), np.float32)
    reference, fast = both(
        lambda: whole_picture(rendered_by_windows(tone, frames, FUSION_RENDERING))
    )
    assert np.abs(reference - fast).max() < 1e-4


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bytes_lie_within_one_code_of_numpys(both, count, kind) -> None:
    size = (70, 530)
    frames = pictures(size, count, kind)
    tone = np.random.default_rng(1).random((24, 40, 3), np.float32)

    reference, fast = both(lambda: as_bytes(rendered_by_windows(tone, frames, FUSION_RENDERING)))
    assert np.abs(reference - fast).max() <= 1


def test_frames_and_output_may_have_any_strides(both) -> None:
    frames = pictures((33, 47), 2)
    odd = [CodedPicture(np.repeat(f.codes, 2, 1)[::-1][::-1, ::2]) for f in frames]
    tone = np.random.default_rng(1).random((8, 11, 3), np.float32)

    def written(of, out):
        picture = rendered_by_windows(tone, of, FUSION_RENDERING)
        for window in windows(out.shape, 16):
            if isinstance(picture, ByteWriter):
                picture.write_bytes(window, out)
            else:
                out[window] = np.rint(picture[window] * 255)
        return out.astype(int)

    for made in both(
        lambda: (
            written(frames, np.zeros((33, 47, 3), np.uint8)),
            written(odd, np.zeros((47, 33, 3), np.uint8).transpose(1, 0, 2)),
        )
    ):
        np.testing.assert_array_equal(*made)
