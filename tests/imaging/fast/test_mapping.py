"""Histograms and intensity mapping of bytes: tables of pairs, in NumPy and in compiled code."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.interpolation import intermediate_by_windows
from edgeexpo.imaging.mapping import histograms
from edgeexpo.imaging.raster import whole_picture, windows


def pair(size):
    rng = np.random.default_rng(0)
    under = rng.integers(0, 200, (*size, 3))
    over = np.clip(under * 2 + rng.integers(-9, 9, under.shape), 0, 255)
    return under.astype(np.uint8), over.astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 65)])
def test_histograms_of_bytes_are_those_of_their_floats(both, size) -> None:
    codes = pair(size)[1][::-1]
    expected = histograms(codes.astype(np.float32) / np.float32(255))
    for found in both(lambda: histograms(CodedPicture(codes)).copy()):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(17, 33), (40, 41)])
@pytest.mark.parametrize("ev", [None, 3.0])
@pytest.mark.parametrize("levels", [255, None])
def test_pairs_of_bytes_are_looked_up_as_their_floats(both, size, ev, levels) -> None:
    codes = pair(size)
    floats = [frame.astype(np.float32) / np.float32(255) for frame in codes]
    coded = [CodedPicture(frame[:, ::-1]) for frame in codes]
    expected = whole_picture(intermediate_by_windows(*floats, ev=ev, levels=levels))[:, ::-1]

    def made():
        picture = intermediate_by_windows(*coded, ev=ev, levels=levels)
        out = np.empty((*size, 3), np.float32)
        for window in windows(out.shape, 9, 20):
            out[window] = picture[window]
        return out

    for found in both(made):
        np.testing.assert_array_equal(found, expected)
