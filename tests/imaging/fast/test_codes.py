"""Codes to numbers and back in compiled code, for all codes, dtypes, strides and odd sizes."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.coded import CodedPicture, write_bytes
from edgeexpo.imaging.raster import whole_picture


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 512), (2, 1025)])
@pytest.mark.parametrize("step", [1, -1, 2])
def test_reading_equals_numpys(both, kind, size, step) -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, np.iinfo(kind).max + 1, (size[0] * abs(step), size[1], 3)).astype(kind)
    for codes in (wide[::step], wide[::step, :, ::-1], wide[::step].view()):
        codes.flags.writeable = False
        reference, fast = both(lambda codes=codes: whole_picture(CodedPicture(codes)).copy())
        np.testing.assert_array_equal(reference, fast)


def test_a_window_may_be_read_into_part_of_a_picture(both) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    window = slice(3, 9), slice(5, 28)

    def read():
        out = np.zeros((3, 8, 40), np.float32).transpose(1, 2, 0)
        CodedPicture(codes).write(window, out[1:7, 2:25])
        return out

    reference, fast = both(read)
    np.testing.assert_array_equal(reference, fast)
    np.testing.assert_array_equal(fast[1:7, 2:25], codes[window] / np.float32(255))


def test_writing_equals_numpys_at_every_code_and_half_way(both) -> None:
    halves = np.arange(-40, 560, dtype=np.float32) / np.float32(510)
    near = np.nextafter(halves, np.float32(2))
    values = np.concatenate([halves, near, np.float32([-np.inf, np.inf])])
    picture = np.stack([values, values[::-1], np.roll(values, 7)], -1)[None]

    def written():
        out = np.zeros((1, 2 * len(values), 3), np.uint8)
        write_bytes(picture.copy(), out[:, ::2])
        return out

    reference, fast = both(written)
    np.testing.assert_array_equal(reference, fast)
