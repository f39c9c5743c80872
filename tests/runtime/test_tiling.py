from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.runtime.tiling import padded_size, plan_tiles, run_tiled
from edgeexpo.spec import SizeRange

torch.manual_seed(0)
NET = torch.nn.Sequential(
    *[torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)], torch.nn.Sigmoid()
).requires_grad_(False)
HALO = 3
RANGE = SizeRange(largest=(40, 48), smallest=(16, 16))
ENUMERATED = SizeRange(
    largest=(48, 48), smallest=(16, 16), enumerated=((16, 16), (32, 32), (48, 48))
)
FIXED = SizeRange(largest=(24, 32), smallest=(24, 32))
GRID = SizeRange(largest=(48, 48), smallest=(16, 16), multiple=4)
KINDS = [RANGE, ENUMERATED, FIXED, GRID]


def whole(inputs):
    return NET(torch.from_numpy(inputs["x"])).numpy()


def accepts(sizes, height, width):
    if sizes.enumerated:
        return (height, width) in sizes.enumerated
    sides = zip((height, width), sizes.smallest, sizes.largest, strict=True)
    return all(low <= side <= high and side % sizes.multiple == 0 for side, low, high in sides)


@settings(max_examples=60, deadline=None)
@given(st.integers(16, 130), st.integers(16, 130), st.sampled_from(KINDS))
def test_tiles_equal_the_whole_picture(height, width, sizes):
    picture = np.random.default_rng(height * 1000 + width).random((height, width, 3), np.float32)
    full = padded_size(height, width, sizes)
    padding = ((0, full[0] - height), (0, full[1] - width), (0, 0))
    reference = np.pad(picture, padding, mode="reflect").transpose(2, 0, 1)[None]

    def run(inputs):
        assert accepts(sizes, *inputs["x"].shape[2:])
        return whole(inputs)

    found = run_tiled(run, {"x": picture}, HALO, sizes)
    expected = whole({"x": reference})[0].transpose(1, 2, 0)[:height, :width]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(16, 400), st.integers(16, 400), st.sampled_from(KINDS), st.sampled_from([0, 3, 5])
)
def test_every_pixel_is_kept_once_with_its_halo(height, width, sizes, halo):
    full = padded_size(height, width, sizes)
    kept = np.zeros(full, int)
    for tile in plan_tiles(*full, halo, sizes):
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
    (tile,) = plan_tiles(40, 48, HALO, RANGE)
    assert (tile.rows.stop, tile.columns.stop) == (40, 48)


@pytest.mark.parametrize(
    ("halo", "sizes", "words"),
    [
        (None, RANGE, "looks at all of it at once; expected at most 40x48: scale it down"),
        (None, ENUMERATED, "expected exactly 16x16, 32x32, 48x48: scale it"),
        (24, RANGE, "needs 24"),
        (16, FIXED, "needs 16"),
    ],
)
def test_what_tiles_cannot_do_is_said(halo, sizes, words):
    with pytest.raises(PictureError, match=words):
        plan_tiles(200, 200, halo, sizes)


def with_thumbnail(inputs):
    """Return the output of a local network that adds the mean of a thumbnail of another size."""
    assert inputs["thumbnail"].shape == (1, 3, 8, 10)
    return whole({"x": inputs["x"]}) + inputs["thumbnail"].mean((2, 3), keepdims=True)


@pytest.mark.parametrize("sizes", KINDS)
def test_a_fixed_input_goes_whole_to_every_tile(sizes):
    random = np.random.default_rng(0)
    picture, thumbnail = (random.random((h, w, 3), np.float32) for h, w in ((96, 132), (8, 10)))
    tiles = []

    def run(inputs):
        tiles.append(inputs["x"].shape)
        return with_thumbnail(inputs)

    inputs = {"thumbnail": thumbnail, "x": picture}
    found = run_tiled(run, inputs, HALO, sizes, fixed=("thumbnail",))
    assert len(tiles) > 1
    full = padded_size(96, 132, sizes)
    padding = ((0, full[0] - 96), (0, full[1] - 132), (0, 0))
    padded = np.pad(picture, padding, mode="reflect")
    expected = whole({"x": padded.transpose(2, 0, 1)[None]})[0].transpose(1, 2, 0)[:96, :132]
    np.testing.assert_allclose(found, expected + thumbnail.mean((0, 1)), atol=1e-5)


def test_a_network_of_fixed_inputs_runs_once_and_gives_its_own_size():
    small = np.random.default_rng(1).random((256, 256, 3), np.float32)
    runs = []

    def run(inputs):
        runs.append(inputs["small"])
        return inputs["small"][:, :1, ::2, ::4]

    found = run_tiled(run, {"small": small}, None, ENUMERATED, fixed=("small",))
    np.testing.assert_array_equal(found, small[::2, ::4, :1])
    assert len(runs) == 1
    assert runs[0].flags.c_contiguous


def test_a_global_network_gets_the_next_multiple_by_reflection():
    picture = np.random.default_rng(2).random((30, 41, 1), np.float32)

    def run(inputs):
        return inputs["x"] - inputs["x"].mean((2, 3), keepdims=True)

    found = run_tiled(run, {"x": picture}, None, GRID)
    reflected = np.pad(picture, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    np.testing.assert_allclose(found, picture - reflected.mean(), atol=1e-6)


def test_a_global_network_meets_an_enumerated_size_exactly_or_not_at_all():
    assert run_tiled(
        lambda i: i["x"], {"x": np.zeros((32, 32, 1), np.float32)}, None, ENUMERATED
    ).shape
    with pytest.raises(PictureError, match=r"is 20x20.*expected exactly 16x16, 32x32, 48x48"):
        run_tiled(lambda i: i["x"], {"x": np.zeros((20, 20, 1), np.float32)}, None, ENUMERATED)
