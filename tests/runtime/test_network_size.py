from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.runtime.network_size import network_size
from edgeexpo.spec import ModelSpec, SizeRange, StageSpec, TensorSpec

RANGE = SizeRange(largest=(96, 128), smallest=(16, 16), multiple=4)
ENUMERATED = SizeRange((96, 128), (32, 32), 4, ((32, 32), (64, 64), (96, 128)))
GUIDED = StageSpec("guided", {"color": "rgb"})
sides = st.integers(16, 5000)


def spec(halo=None, back=GUIDED, size=None):
    return ModelSpec(
        "m", "t", ("x",), (TensorSpec("x", size=size),), (TensorSpec("y"),), halo, 4, back=back
    )


@given(sides, sides, st.sampled_from([RANGE, ENUMERATED]))
def test_tiles_and_fixed_inputs_see_the_frames_as_they_are(height, width, sizes):
    assert network_size(spec(halo=3), sizes, height, width) == (height, width)
    assert network_size(spec(size=(8, 8)), sizes, height, width) == (height, width)


@given(sides, sides)
def test_a_fusion_that_is_rendered_sees_copies_unless_its_output_is_asked_for(height, width):
    tiled = spec(halo=3, back=StageSpec("rendered-fusion", {"longest": 64}))
    assert network_size(tiled, RANGE, height, width, fuse=False) == (height, width)
    h, w = network_size(tiled, RANGE, height, width)
    if max(height, width) <= 64:
        assert (h, w) == (height, width)
    else:
        assert max(h, w) == 64
        assert min(h, w) >= 16


@given(st.integers(16, 96), st.integers(16, 128))
def test_what_fits_is_not_scaled(height, width):
    assert network_size(spec(), RANGE, height, width) == (height, width)


@given(sides, sides)
def test_a_large_picture_is_scaled_to_fit_with_its_aspect_ratio(height, width):
    h, w = network_size(spec(), RANGE, height, width)
    assert h <= 96
    assert w <= 128
    if (h, w) == (height, width):
        return
    assert h % 4 == 0
    assert w % 4 == 0
    assert h >= 96 - 3 or w >= 128 - 3
    if min(h, w) > 16:
        scale = min(96 / height, 128 / width)
        assert abs(h - height * scale) <= 2
        assert abs(w - width * scale) <= 2


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ((64, 64), (64, 64)),
        ((20, 30), (32, 32)),
        ((33, 20), (32, 32)),
        ((36, 20), (64, 64)),
        ((64, 67), (96, 128)),
        ((1000, 1000), (96, 128)),
        ((3000, 4000), (96, 128)),
        ((4000, 1000), (96, 128)),
    ],
)
def test_an_enumerated_size_is_met_exactly(picture, expected):
    assert network_size(spec(), ENUMERATED, *picture) == expected


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (RANGE, "is 97x128.*expected 16x16 to 96x128 in steps of 4: .*export at `size` 97,128"),
        (ENUMERATED, "is 97x128.*exactly 32x32, 64x64, 96x128: .*export at `size` 97,128"),
    ],
)
def test_without_a_guided_back_stage_a_large_picture_is_refused(sizes, words):
    for back in (None, StageSpec("exposure-fusion")):
        with pytest.raises(PictureError, match=words):
            network_size(spec(back=back), sizes, 97, 128)


def test_a_network_sees_no_more_than_the_scale_it_learned():
    bounded = dataclasses.replace(spec(), longest=64)
    assert network_size(bounded, RANGE, 64, 128) == (32, 64)
    assert network_size(bounded, RANGE, 40, 64) == (40, 64)
    assert network_size(bounded, ENUMERATED, 64, 128) == (64, 64)
    assert network_size(spec(), RANGE, 64, 128) == (64, 128)
