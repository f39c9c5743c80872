from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeexpo.errors import BundleError
from edgeexpo.imaging.color import rgb_to_lab, rgb_to_ycbcr, srgb_to_linear
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.raster import whole_picture
from edgeexpo.imaging.rendering import Rendering, rendered
from edgeexpo.imaging.resize import resize
from edgeexpo.runtime.stages import back, finished, front, gives_picture, small_size
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec


def spec(front_stage=None, back_stage=None, inputs=("under", "over"), output=None):
    return ModelSpec(
        name="m",
        task="t",
        frames=("under", "over"),
        inputs=tuple(TensorSpec(n) for n in inputs),
        outputs=(output or TensorSpec("out"),),
        halo=1,
        front=front_stage,
        back=back_stage,
    )


def frames():
    return [np.full((20, 30, 3), v, np.float32) for v in (0.2, 0.7)]


def test_without_stages_frames_are_inputs_and_the_output_is_the_picture():
    under, over = frames()
    assert front(spec(), (under, over), None) == {"under": under, "over": over}
    assert back(spec(), over, (under, over)) is over


def test_the_intermediate_exposure_lies_between_the_frames():
    stage = StageSpec("intermediate", {"response": "srgb"})
    (y0,) = front(spec(front_stage=stage, inputs=("y0",)), frames(), 4.0).values()
    assert y0.shape == (20, 30, 3)
    assert 0.2 < y0.mean() < 0.7


def test_fusion_happens_unless_it_is_declined():
    model = spec(back_stage=StageSpec("exposure-fusion"))
    output = np.full((20, 30, 3), 0.5, np.float32)
    fused = back(model, output, frames())
    assert 0.2 <= fused.min() <= fused.max() <= 0.7
    assert back(model, output, frames(), fuse=False) is output


def test_an_unknown_stage_is_refused():
    with pytest.raises(BundleError, match="needs the stage 'magic'"):
        front(spec(front_stage=StageSpec("magic")), frames(), None)


def random(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def test_resize_gives_the_frame_at_the_networks_size_and_in_its_colours():
    frame, size = random(50, 70), {"height": 16, "width": 24}
    model = spec(StageSpec("resize", {**size, "color": "rgb"}), inputs=("small",))
    small = front(model, [frame], None)["small"]
    np.testing.assert_array_equal(small, resize(frame, (16, 24)))
    soft = spec(StageSpec("resize", {**size, "method": "triangle"}), inputs=("small",))
    expected = resize(frame, (16, 24), "triangle")
    np.testing.assert_array_equal(front(soft, [frame], None)["small"], expected)
    model = spec(StageSpec("resize", {**size, "color": "lab"}), inputs=("small",))
    lab = front(model, [frame], None)["small"]
    expected = rgb_to_lab(small) / [50, 128, 128] - [1, 0, 0]
    np.testing.assert_allclose(lab, expected, atol=1e-6)
    assert lab.dtype == np.float32


def test_a_thumbnail_goes_beside_the_picture():
    frame = random(50, 70)
    stage = StageSpec("thumbnail", {"height": 16, "width": 24})
    found = front(spec(stage, inputs=("picture", "thumbnail")), [frame], None)
    assert list(found) == ["picture", "thumbnail"]
    assert found["picture"] is frame
    np.testing.assert_array_equal(found["thumbnail"], resize(frame, (16, 24)))
    stage = StageSpec("thumbnail", {"height": 16, "width": 24, "method": "bilinear"})
    sampled = front(spec(stage, inputs=("picture", "thumbnail")), [frame], None)["thumbnail"]
    np.testing.assert_array_equal(sampled, resize(frame, (16, 24), "bilinear"))


def test_luma_equals_pillows_of_every_frame():
    codes = [(random(20, 30, seed) * 255).round().astype(np.uint8) for seed in (1, 2)]
    floats = [c.astype(np.float32) / 255 for c in codes]
    found = front(spec(StageSpec("luma"), inputs=("under_y", "over_y")), floats, None)
    assert list(found) == ["under_y", "over_y"]
    for code, luma in zip(codes, found.values(), strict=True):
        oracle = np.asarray(Image.fromarray(code).convert("L"), np.float32) / 255
        assert luma.shape == (20, 30, 1)
        np.testing.assert_allclose(luma[..., 0], oracle, atol=1 / 255)


CHROMA = spec(StageSpec("luma"), StageSpec("chroma"), ("under_y", "over_y"))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_the_chroma_of_equal_frames_comes_back_exactly(seed):
    frame = random(12, 17, seed)
    luma = front(CHROMA, [frame, frame], None)["under_y"]
    np.testing.assert_allclose(back(CHROMA, luma, [frame, frame]), frame, atol=2e-6)


def test_chroma_follows_the_formula_and_the_more_colourful_frame():
    under, over = random(300, 20, 1), random(300, 20, 2)
    y = np.full((300, 20, 1), 0.5, np.float32)
    found = back(CHROMA, y, [under, over])
    coded = [np.asarray(Image.fromarray(np.uint8(f * 255)).convert("YCbCr")) for f in (under, over)]
    c = np.stack(coded)[..., 1:] / 255.0 - 128 / 255
    mixed = (c * abs(c)).sum(0) / np.maximum(abs(c).sum(0), 1e-9)
    expected = np.stack([0.5 + 1.402 * mixed[..., 1], 0.5 + 1.772 * mixed[..., 0]], 2)
    np.testing.assert_allclose(found[..., [0, 2]], np.clip(expected, 0, 1), atol=0.03)
    grey = np.full_like(under, 0.4)
    np.testing.assert_array_equal(back(CHROMA, y, [grey, over]), back(CHROMA, y, [over, over]))


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_grey_frames_stay_grey(value):
    frame = np.full((8, 9, 3), value, np.float32)
    y = np.full((8, 9, 1), 0.3, np.float32)
    np.testing.assert_allclose(back(CHROMA, y, [frame, frame]), 0.3, atol=1e-6)


def test_guided_brings_a_small_change_to_the_full_size():
    stage = StageSpec("guided", {"color": "rgb", "radius": 2, "eps": 1e-4})
    frame = resize(random(6, 9), (60, 90))
    small = 0.5 * resize(frame, (20, 30)) + 0.2
    found = back(spec(back_stage=stage), small, [frame])
    np.testing.assert_allclose(found, 0.5 * frame + 0.2, atol=1e-5)
    assert back(spec(back_stage=stage), small, [frame], fuse=False) is small


@pytest.mark.parametrize(
    ("fronts", "backs", "size", "taken"),
    [
        ({"method": "triangle"}, {"method": "triangle"}, (20, 30), True),
        (None, {}, (20, 30), True),
        ({}, {"method": "triangle"}, (20, 30), False),
        ({"color": "lab"}, {}, (20, 30), False),
        ({}, {}, (20, 15), False),
    ],
)
def test_the_guide_is_what_the_network_saw_where_both_are_scaled_alike(fronts, backs, size, taken):
    frame = random(60, 90)
    stage = None if fronts is None else StageSpec("resize", {"height": 20, "width": 30, **fronts})
    model = spec(stage, StageSpec("guided", backs), ("photo",))
    seen = front(model, [frame if stage else resize(frame, (20, 30))], None)
    output = 0.5 * random(*size, 1) + 0.2
    alone = whole_picture(finished(model, output, [frame]))
    np.testing.assert_array_equal(
        whole_picture(finished(model, output, [frame], inputs=seen)), alone
    )
    other = {name: value[::-1] for name, value in seen.items()}
    turned = whole_picture(finished(model, output, [frame], inputs=other))
    assert (turned == alone).all() != taken


@pytest.mark.parametrize(
    ("output", "stage", "fuse", "picture"),
    [
        (TensorSpec("o"), None, True, True),
        (TensorSpec("o", transfer="linear"), None, True, False),
        (TensorSpec("o", color="Y"), "chroma", True, True),
        (TensorSpec("o", color="Y"), "chroma", False, False),
        (TensorSpec("o", color="Lab"), "guided", True, True),
        (TensorSpec("o", color="none"), None, True, False),
    ],
)
def test_what_is_a_picture(output, stage, fuse, picture):
    model = spec(back_stage=stage and StageSpec(stage), output=output)
    assert gives_picture(model, fuse) is picture


def test_a_smaller_luminance_is_fused_small_and_enlarged():
    low = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    pair = [resize(low, (48, 64), "bilinear")] * 2
    small = rgb_to_ycbcr(resize(pair[0], (24, 32)))[..., :1]
    np.testing.assert_allclose(back(CHROMA, small, pair), pair[0], atol=2e-3)


@pytest.mark.parametrize(
    ("stage", "frames", "words"),
    [
        (
            StageSpec("resize", {"height": 32}),
            ("x",),
            "'resize' cannot be used .*KeyError: 'width'",
        ),
        (
            StageSpec("intermediate", {"gamma": 2}),
            ("x", "z"),
            "'intermediate' cannot be used .*gamma",
        ),
        (StageSpec("intermediate"), ("x",), "'intermediate' cannot be used .*not enough values"),
        (None, ("x", "z"), "has 1 inputs and its frames make 2"),
    ],
)
def test_a_stage_that_cannot_be_used_so_is_the_bundles_fault(stage, frames, words):
    spec = ModelSpec(
        "net", "t", frames, (TensorSpec("x"),), (TensorSpec("y"),), halo=1, front=stage
    )
    picture = np.zeros((32, 32, 3), np.float32)
    with pytest.raises(BundleError, match=words):
        front(spec, [picture] * len(frames), None)


def test_inputs_of_other_channels_are_luma_and_a_mosaic():
    frame = np.random.default_rng(4).random((7, 10, 3), np.float32)
    inputs = tuple(TensorSpec(f"x{n}", channels=n) for n in (1, 3, 4))
    stage = StageSpec("channels", {"channels": [1, 3, 4]})
    spec = ModelSpec("net", "t", ("a", "b", "c"), inputs, (TensorSpec("y"),), 0, front=stage)
    made = front(spec, [frame] * 3, None)
    np.testing.assert_allclose(made["x1"][..., 0], frame @ [0.299, 0.587, 0.114], atol=1e-6)
    np.testing.assert_array_equal(made["x3"], frame)
    linear = srgb_to_linear(frame)
    sites = [linear[0:6:2, 0::2, 0], linear[0:6:2, 1::2, 1], linear[1:6:2, 0::2, 1]]
    expected = np.stack([*sites, linear[1:6:2, 1::2, 2]], -1)
    np.testing.assert_array_equal(made["x4"], expected)
    assert spec.frame_size((3, 5)) == (6, 10)


def test_a_rendered_fusion_is_the_fusion_of_copies_at_full_size():
    scene = skimage.data.coffee()[:160, :200].astype(np.float32) / 255
    pictures = [np.clip(scene * np.float32(gain), 0, 1) for gain in (0.4, 2)]
    height, width = pictures[0].shape[:2]
    longest = max(height, width) // 2
    stage = StageSpec("rendered-fusion", {"longest": longest, "floor": 1e-5})
    model = spec(back_stage=stage)
    size = small_size(height, width, longest)
    small = [resize(picture, size) for picture in pictures]
    output = (small[0] + small[1]) / 2
    fused = exposure_fusion([small[0], output, small[1]], floor=1e-5)
    expected = rendered(fused, pictures, Rendering())
    np.testing.assert_allclose(back(model, output, pictures), expected, atol=1e-5)
    whole = (pictures[0] + pictures[1]) / 2
    np.testing.assert_allclose(back(model, whole, pictures), expected, atol=2e-3)
