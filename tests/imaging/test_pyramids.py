"""Tests of pyramids against OpenCV's pyramids."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.imaging.pyramids import downsample, laplacian_pyramid, upsample


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40))
def test_pyramids_equal_opencv_and_restore(height, width):
    planes = np.random.default_rng(0).random((3, height, width), dtype=np.float32)
    if min(height, width) > 1:
        small = cv2.pyrDown(planes.transpose(1, 2, 0))
        np.testing.assert_allclose(downsample(planes).transpose(1, 2, 0), small, atol=1e-6)
        large = cv2.pyrUp(small, dstsize=(width, height)).transpose(2, 0, 1)
        found = upsample(small.transpose(2, 0, 1), (height, width))
        np.testing.assert_allclose(found, large, atol=1e-6)
    bands = laplacian_pyramid(planes, 4)
    restored = bands[-1]
    for band in bands[-2::-1]:
        restored = upsample(restored, band.shape[-2:]) + band
    np.testing.assert_allclose(restored, planes, atol=1e-5)
