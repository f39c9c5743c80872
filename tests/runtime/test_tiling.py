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
    [(None, RANGE, "looks at all of it"), (24, RANGE, "needs 24"), (16, FIXED, "needs 16")],
)
def test_what_tiles_cannot_do_is_said(halo, sizes, words):
    with pytest.raises(PictureError, match=words):
        plan_tiles(200, 200, halo, sizes)
