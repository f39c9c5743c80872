"""The guided filter in compiled code: the coefficients' fit, and their application to a picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.coded import ByteWriter, CodedPicture
from edgeexpo.imaging.guided import guided_by_windows
from edgeexpo.imaging.local_affine import fit_affine
from edgeexpo.imaging.raster import whole_picture, windows
from tests.support.byte_pictures import as_bytes

SIZES = [((7, 9), (16, 19)), ((24, 40), (101, 61)), ((9, 7), (33, 600)), ((2, 3), (40, 5))]
"""Sizes of the small picture and of the frames."""


def pictures(size, count, seed=0, kind=np.uint8):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, np.iinfo(kind).max + 1, (count, *size, 3))
    return [CodedPicture(frame.astype(kind)) for frame in codes]


@pytest.mark.parametrize(("small", "size"), SIZES)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("color", ["rgb", "lab"])
def test_enlarged_change_is_numpys(both, small, size, count, color) -> None:
    frames = pictures(size, count)
    change = np.random.default_rng(1).random((*small, 3), np.float32)
    reference, fast = both(lambda: whole_picture(guided_by_windows(change, frames, color)))
    assert np.abs(reference - fast).max() < (2e-5 if color == "rgb" else 2e-4)


@pytest.mark.parametrize(("small", "size"), SIZES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bytes_lie_within_one_code_of_numpys(both, small, size, kind) -> None:
    frames = pictures(size, 2, kind=kind)
    change = np.random.default_rng(1).random((*small, 3), np.float32)

    reference, fast = both(lambda: as_bytes(guided_by_windows(change, frames)))
    assert np.abs(reference - fast).max() <= 1


def test_frames_and_output_may_have_any_strides(both) -> None:
    size = (33, 47)
    frames = pictures(size, 2)
    odd = [CodedPicture(np.repeat(f.codes, 2, 1)[::-1][::-1, ::2]) for f in frames]
    change = np.random.default_rng(1).random((8, 11, 3), np.float32)

    def written(of, out):
        picture = guided_by_windows(change, of)
        for window in windows(out.shape, 16):
            picture.write_bytes(window, out)
        return out

    def plain_and_strided():
        if not isinstance(guided_by_windows(change, frames), ByteWriter):
            return None
        wide = np.zeros((33, 94, 3), np.uint8)
        upside_down = np.zeros((*size, 3), np.uint8)[::-1]
        plain = written(frames, np.zeros((*size, 3), np.uint8))
        return plain, written(odd, wide[:, ::2]), written(frames, upside_down)

    plain, *others = both(plain_and_strided)[1]
    assert all(np.array_equal(plain, other) for other in others)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (17, 30)])
@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_fit_equals_numpys(both, size, channels, radius) -> None:
    rng = np.random.default_rng(0)
    guide, target = rng.random((channels, *size), np.float32), rng.random((3, *size), np.float32)
    reference, fast = both(lambda: fit_affine(guide, target, radius, 1e-4).copy())
    np.testing.assert_array_equal(reference, fast)
