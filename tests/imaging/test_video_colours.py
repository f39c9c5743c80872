"""Tests of colours as FFmpeg states them, on frames that hold nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from av.sidedata.sidedata import Type

from edgeexpo.imaging.video_colours import check_transfer, is_full_range, matrix_of


def frame(**changes):
    usual = {"colorspace": 2, "color_range": 0, "color_trc": 2, "height": 480, "side_data": ()}
    usual["format"] = SimpleNamespace(name=changes.pop("pixels", "yuv420p"))
    return SimpleNamespace(**{**usual, **changes})


@pytest.mark.parametrize(
    ("code", "height", "matrix"),
    [
        (1, 480, "bt709"),
        (5, 1080, "bt601"),
        (6, 1080, "bt601"),
        (9, 480, "bt2020"),
        (2, 719, "bt601"),
        (2, 720, "bt709"),
        (0, 480, "bt601"),
    ],
)
def test_the_matrix_is_the_stated_one_or_goes_by_height(code, height, matrix):
    assert matrix_of(frame(colorspace=code, height=height)) == matrix


@pytest.mark.parametrize("code", [4, 7, 8, 10, 12, 14, 15])
def test_a_matrix_that_cannot_be_converted_is_refused(code):
    with pytest.raises(ValueError, match=f"the colour matrix {code} "):
        matrix_of(frame(colorspace=code))


@pytest.mark.parametrize(
    ("pixels", "code", "full"),
    [("yuv420p", 0, False), ("yuv420p", 1, False), ("yuv420p", 2, True), ("yuvj422p", 0, True)],
)
def test_the_range_is_limited_unless_stated(pixels, code, full):
    assert is_full_range(frame(pixels=pixels, color_range=code)) == full


@pytest.mark.parametrize("code", [1, 2, 4, 5, 6, 7, 13, 14, 15])
def test_transfers_of_ordinary_displays_pass(code):
    check_transfer(frame(color_trc=code))


@pytest.mark.parametrize("code", [8, 9, 10, 16, 17, 18])
def test_other_transfers_are_refused(code):
    with pytest.raises(ValueError, match="expected video for ordinary displays"):
        check_transfer(frame(color_trc=code))


@pytest.mark.parametrize("kind", [Type.DOVI_RPU_BUFFER, Type.DOVI_METADATA])
def test_dolby_vision_is_known_without_a_transfer(kind):
    with pytest.raises(ValueError, match="Dolby Vision"):
        check_transfer(frame(side_data=(SimpleNamespace(type=kind),)))
