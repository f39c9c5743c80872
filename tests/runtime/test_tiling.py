from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.runtime.tiling import fits_whole, padded_size, plan_tiles, run_tiled
from edgeexpo.spec import Footprint, SizeRange

torch.manual_seed(0)
NET = torch.nn.Sequential(
    *[torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)], torch.nn.Sigmoid()
).requires_grad_(False)
LOCAL = Footprint(3)
ON_GRID = Footprint(3, multiple=4)
WHOLE = Footprint(None)
RANGE = SizeRange(largest=(40, 48), smallest=(16, 16))
ENUMERATED = SizeRange(
    largest=(48, 48), smallest=(16, 16), enumerated=((16, 16), (32, 32), (48, 48))
)
FIXED = SizeRange(largest=(24, 32), smallest=(24, 32))
GRID = SizeRange(largest=(48, 48), smallest=(16, 16), multiple=4)
KINDS = [(LOCAL, RANGE), (LOCAL, ENUMERATED), (LOCAL, FIXED), (ON_GRID, GRID)]


def whole(inputs):
    return NET(torch.from_numpy(inputs["x"])).numpy()


def accepts(sizes, height, width):
    if sizes.enumerated:
        return (height, width) in sizes.enumerated
    sides = zip((height, width), sizes.smallest, sizes.largest, strict=True)
    return all(low <= side <= high and side % sizes.multiple == 0 for side, low, high in sides)


@settings(max_examples=60, deadline=None)
@given(st.integers(32, 130), st.integers(32, 130), st.sampled_from(KINDS))
def test_tiles_equal_the_whole_picture(height, width, kind):
    footprint, sizes = kind
    picture = np.random.default_rng(height * 1000 + width).random((height, width, 3), np.float32)
    full = padded_size(height, width, footprint, sizes)
    padding = ((0, full[0] - height), (0, full[1] - width), (0, 0))
    reference = np.pad(picture, padding, mode="reflect").transpose(2, 0, 1)[None]

    def run(inputs):
        assert accepts(sizes, *inputs["x"].shape[2:])
        return whole(inputs)

    found = run_tiled(run, {"x": picture}, footprint, sizes)
    expected = whole({"x": reference})[0].transpose(1, 2, 0)[:height, :width]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(32, 400), st.integers(32, 400), st.sampled_from(KINDS), st.sampled_from([0, 3, 5])
)
def test_every_pixel_is_kept_once_with_its_halo(height, width, kind, halo):
    footprint, sizes = dataclasses.replace(kind[0], halo=halo), kind[1]
    full = padded_size(height, width, footprint, sizes)
    kept = np.zeros(full, int)
    for tile in plan_tiles(*full, footprint, sizes):
        assert accepts(
            sizes, tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
        )
        rows, columns = tile.rows, tile.columns
        kept[rows.keep_start : rows.keep_stop, columns.keep_start : columns.keep_stop] += 1
        for span, side in ((rows, full[0]), (columns, full[1])):
            assert span.start == 0 or span.keep_start - span.start >= halo
            assert span.stop == side or span.stop - span.keep_stop >= halo
            assert span.start % sizes.multiple == 0
    assert (kept == 1).all()


def test_a_picture_that_fits_is_one_tile():
    (tile,) = plan_tiles(40, 48, LOCAL, RANGE)
    assert (tile.rows.stop, tile.columns.stop) == (40, 48)


@pytest.mark.parametrize(
    ("halo", "sizes", "words"),
    [
        (None, RANGE, "looks at all of it at once; expected 16x16 to 40x48: crop or scale it"),
        (None, ENUMERATED, "expected exactly 16x16, 32x32, 48x48: crop or scale it"),
        (None, FIXED, "expected exactly 24x32: crop or scale it"),
        (24, RANGE, "needs 24"),
        (16, FIXED, "needs 16"),
    ],
)
def test_what_tiles_cannot_do_is_said(halo, sizes, words):
    with pytest.raises(PictureError, match=words):
        plan_tiles(200, 200, Footprint(halo), sizes)


def with_thumbnail(inputs):
    """Return the output of a local network that adds the mean of a thumbnail of another size."""
    assert inputs["thumbnail"].shape == (1, 3, 8, 10)
    return whole({"x": inputs["x"]}) + inputs["thumbnail"].mean((2, 3), keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fixed_input_goes_whole_to_every_tile(kind):
    footprint, sizes = kind
    random = np.random.default_rng(0)
    picture, thumbnail = (random.random((h, w, 3), np.float32) for h, w in ((96, 132), (8, 10)))
    tiles = []

    def run(inputs):
        tiles.append(inputs["x"].shape)
        return with_thumbnail(inputs)

    inputs = {"thumbnail": thumbnail, "x": picture}
    found = run_tiled(run, inputs, footprint, sizes, fixed=("thumbnail",))
    assert len(tiles) > 1
    expected = whole({"x": picture.transpose(2, 0, 1)[None]})[0].transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected + thumbnail.mean((0, 1)), atol=1e-5)


def test_a_network_of_fixed_inputs_runs_once_and_gives_its_own_size():
    small = np.random.default_rng(1).random((256, 256, 3), np.float32)
    runs = []

    def run(inputs):
        runs.append(inputs["small"])
        return inputs["small"][:, :1, ::2, ::4]

    found = run_tiled(run, {"small": small}, WHOLE, ENUMERATED, fixed=("small",))
    np.testing.assert_array_equal(found, small[::2, ::4, :1])
    assert len(runs) == 1
    assert runs[0].flags.c_contiguous


def test_a_global_network_gets_the_next_multiple_by_reflection():
    picture = np.random.default_rng(2).random((30, 41, 1), np.float32)

    def run(inputs):
        return inputs["x"] - inputs["x"].mean((2, 3), keepdims=True)

    found = run_tiled(run, {"x": picture}, Footprint(None, multiple=4), GRID)
    reflected = np.pad(picture, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    np.testing.assert_allclose(found, picture - reflected.mean(), atol=1e-6)


def test_a_global_network_meets_an_enumerated_size_exactly_or_not_at_all():
    assert run_tiled(
        lambda i: i["x"], {"x": np.zeros((32, 32, 1), np.float32)}, WHOLE, ENUMERATED
    ).shape
    with pytest.raises(PictureError, match=r"is 20x20.*expected exactly 16x16, 32x32, 48x48"):
        run_tiled(lambda i: i["x"], {"x": np.zeros((20, 20, 1), np.float32)}, WHOLE, ENUMERATED)


@pytest.mark.parametrize(
    ("size", "footprint", "sizes", "words"),
    [
        ((30, 64), LOCAL, FIXED, None),
        ((20, 64), LOCAL, FIXED, "change the picture near its borders; expected at least 24x32"),
        ((10, 40), LOCAL, RANGE, "change the picture near its borders; expected at least 16x16"),
        ((40, 15), LOCAL, ENUMERATED, "expected at least 16x16"),
        ((50, 50), dataclasses.replace(ON_GRID, extends=False), GRID, "for example 48x48"),
        ((50, 48), Footprint(3, grid=4), RANGE, "lie on a grid of 4 pixels; expected .* 48x48"),
        ((50, 48), Footprint(3, grid=4, ragged=True), RANGE, None),
        ((50, 48), Footprint(3, grid=4, ragged=True), FIXED, "for example 48x48"),
    ],
)
def test_a_picture_that_tiles_cannot_show_exactly_is_refused(size, footprint, sizes, words):
    full = padded_size(*size, footprint, sizes)
    if words is None:
        assert plan_tiles(*full, footprint, sizes)
        return
    with pytest.raises(PictureError, match=words):
        plan_tiles(*full, footprint, sizes)


def test_only_a_network_of_single_pixels_gets_a_larger_picture_than_it_was_given():
    assert padded_size(10, 10, Footprint(0), FIXED) == FIXED.largest
    assert padded_size(10, 10, LOCAL, FIXED) == (10, 10)
    assert fits_whole(10, 10, Footprint(0), FIXED)
    assert not fits_whole(10, 10, LOCAL, FIXED)


@settings(max_examples=30, deadline=None)
@given(st.integers(16, 150), st.integers(16, 150), st.sampled_from([2, 3, 4]))
def test_an_enlarging_network_gives_an_enlarged_picture(height, width, factor):
    picture = np.random.default_rng(height + width).random((height, width, 2), np.float32)
    footprint = Footprint(1, scale=Fraction(factor))

    def run(inputs):
        return inputs["x"].repeat(factor, 2).repeat(factor, 3)

    found = run_tiled(run, {"x": picture}, footprint, RANGE)
    np.testing.assert_array_equal(found, picture.repeat(factor, 0).repeat(factor, 1))


def test_a_reducing_network_gives_a_reduced_picture_or_refuses_the_size():
    picture = np.random.default_rng(3).random((120, 100, 1), np.float32)
    footprint = Footprint(2, multiple=2, extends=False, scale=Fraction(1, 2))
    sizes = SizeRange((40, 48), (16, 16), 2)

    def run(inputs):
        return inputs["x"][:, :, ::2, ::2]

    np.testing.assert_array_equal(
        run_tiled(run, {"x": picture}, footprint, sizes), picture[::2, ::2]
    )
    with pytest.raises(PictureError, match="divides its size by 2; expected multiples of 2"):
        run_tiled(run, {"x": picture[:119]}, footprint, sizes)
