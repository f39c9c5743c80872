"""Maps enlarged by windows are torch's and OpenCV's bilinear enlargement."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.imaging.enlarging import enlarged, window_taps

SIDE = st.integers(2, 40)


@given(small=st.tuples(SIDE, SIDE), grown=st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_a_window_is_cut_from_opencvs_picture(small, grown) -> None:
    height, width = small[0] + grown[0], small[1] + grown[1]
    maps = np.random.default_rng(0).random((2, *small), np.float32)
    window = (slice(height // 3, height), slice(0, width // 2 + 1))
    found = enlarged(maps, window_taps(window, small, (height, width)))
    for plane, line in zip(maps, found, strict=True):
        whole = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(line, whole[window], atol=2e-3)


def test_no_maps_stay_none() -> None:
    window = (slice(0, 8), slice(0, 6))
    maps = np.empty((0, 4, 3), np.float32)
    assert enlarged(maps, window_taps(window, (4, 3), (8, 6))).shape == (0, 8, 6)
