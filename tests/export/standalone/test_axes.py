"""Matrices of linear maps against the functions of the runtime that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.export.standalone.axes import AlongAxes, box_means, doubling, halving, resizing
from edgeexpo.imaging.local_affine import box_mean
from edgeexpo.imaging.pyramids import downsample, upsample
from edgeexpo.imaging.resize import resize

SIDES = st.integers(2, 40)


def _mapped(along: AlongAxes, picture: np.ndarray) -> np.ndarray:
    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
    return along(planes)[0].permute(1, 2, 0).numpy()


def _picture(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height * 100 + width)
    return generator.random((height, width, 3), dtype=np.float32)


@pytest.mark.parametrize("method", ["area", "triangle", "bilinear"])
@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_resizing_is_that_of_the_runtime(
    method: str, height: int, width: int, down: int, across: int
) -> None:
    picture = _picture(height, width)
    found = _mapped(resizing((height, width), (down, across), method), picture)
    assert np.abs(found - resize(picture, (down, across), method)).max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.integers(1, 12))
def test_box_means_are_those_of_the_runtime(height: int, width: int, radius: int) -> None:
    picture = _picture(height, width)
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    found = _mapped(box_means((height, width), radius), picture)
    assert np.abs(found.transpose(2, 0, 1) - box_mean(planes, radius)).max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES)
def test_levels_of_a_pyramid_are_those_of_the_runtime(height: int, width: int) -> None:
    picture = _picture(height, width)
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    smaller = downsample(planes)
    found = _mapped(halving((height, width)), picture).transpose(2, 0, 1)
    assert np.abs(found - smaller).max() < 1e-5
    sizes = (smaller.shape[1], smaller.shape[2]), (height, width)
    again = _mapped(doubling(*sizes), smaller.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert np.abs(again - upsample(smaller, (height, width))).max() < 1e-5
