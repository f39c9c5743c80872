"""Networks that look at the whole picture, run at a fixed size, or take only luma."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.errors import PictureError
from edgeexpo.imaging.guided import decode
from edgeexpo.runtime import FakeEngine, load
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, StageSpec, TensorSpec

RANGE = SizeRange(largest=(64, 96), smallest=(16, 16), multiple=4)
ENUMERATED = SizeRange((64, 96), (32, 32), 4, ((32, 32), (64, 96)))
FUSION = ("under", "over")


def open_with(folder, function, sizes=RANGE, **fields):
    """Open a session around ``function`` whose bundle has ``fields`` and ``sizes``."""
    file = folder / "net.fp32.onnx"
    file.write_bytes(b"stand-in")
    artifact = Artifact(file.name, "onnx", "fp32", digest(file), 8, sizes)
    defaults = {"name": "net", "task": "t", "halo": None, "outputs": (TensorSpec("out"),)}
    model = ModelSpec(**{**defaults, **fields})
    recipe = ExportRecipe("net", ("onnx",), ("fp32",), sizes.largest, "none", (), {})
    write_manifest(folder, Manifest(model, recipe, (artifact,), {}, {}))
    seen = []

    def run(inputs):
        seen.append({name: value.shape for name, value in inputs.items()})
        return {"out": function(inputs)}

    return load(folder, engine=FakeEngine(run)), seen


def smooth(height, width, seed=0):
    low = np.random.default_rng(seed).random((6, 7, 3), np.float32)
    return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def fusion(folder, sizes=RANGE, **fields):
    """Open a session with a guided back stage on a global network.

    The network computes 0.25 under + 0.5 over + 0.1.
    """
    inputs = tuple(TensorSpec(name) for name in FUSION)
    fields = {"back": StageSpec("guided", {"color": "rgb", "radius": 2, "eps": 1e-4}), **fields}
    return open_with(
        folder,
        lambda i: 0.25 * i["under"] + 0.5 * i["over"] + 0.1,
        sizes,
        frames=FUSION,
        inputs=inputs,
        multiple=4,
        **fields,
    )


@pytest.mark.parametrize(
    ("picture", "sizes", "network"),
    [
        ((64, 96), RANGE, (64, 96)),
        ((50, 70), RANGE, (52, 72)),
        ((200, 300), RANGE, (64, 96)),
        ((300, 200), RANGE, (64, 44)),
        ((64, 96), ENUMERATED, (64, 96)),
        ((50, 70), ENUMERATED, (64, 96)),
        ((300, 200), ENUMERATED, (64, 96)),
    ],
)
def test_a_guided_network_gives_the_full_size_whatever_it_sees(tmp_path, picture, sizes, network):
    session, seen = fusion(tmp_path, sizes)
    under, over = smooth(*picture, 1), smooth(*picture, 2)
    np.testing.assert_allclose(session(under, over), 0.25 * under + 0.5 * over + 0.1, atol=1e-5)
    assert seen == [dict.fromkeys(FUSION, (1, 3, *network))]


def test_without_the_back_stage_the_networks_own_picture_comes(tmp_path):
    session, _ = fusion(tmp_path)
    frames = [np.uint8(255 * smooth(200, 300, seed)) for seed in (1, 2)]
    assert session(*frames).shape == (200, 300, 3)
    own = session(*frames, fuse=False)
    assert own.shape == (64, 96, 3)
    assert own.dtype == np.uint8


@pytest.mark.parametrize("sizes", [RANGE, ENUMERATED])
def test_a_global_network_without_guided_refuses_what_is_too_large(tmp_path, sizes):
    session, seen = fusion(tmp_path, sizes, back=None)
    with pytest.raises(PictureError, match=r"is 65x96.*expected .*64x96"):
        session(smooth(65, 96, 1), smooth(65, 96, 2))
    assert seen == []
    assert session(smooth(64, 96, 1), smooth(64, 96, 2)).shape == (64, 96, 3)


@pytest.mark.parametrize("color", ["rgb", "lab"])
def test_a_network_of_fixed_size_corrects_pictures_of_any_size(tmp_path, color):
    tensor = TensorSpec("small", size=(32, 32), color="RGB" if color == "rgb" else "Lab")
    parameters = {"height": 32, "width": 32, "color": color}
    session, seen = open_with(
        tmp_path,
        lambda i: 0.5 * i["small"],
        SizeRange((32, 32), (32, 32)),
        frames=("picture",),
        inputs=(tensor,),
        outputs=(TensorSpec("out", size=(32, 32), color=tensor.color),),
        front=StageSpec("resize", parameters),
        back=StageSpec("guided", {"color": color, "radius": 2, "eps": 1e-4}),
    )
    picture = np.uint8(255 * smooth(130, 90))
    found = session(picture)
    assert found.shape == picture.shape
    assert found.dtype == np.uint8
    assert seen == [{"small": (1, 3, 32, 32)}]
    raw = session(picture, fuse=False)
    assert raw.shape == (32, 32, 3)
    # Lab in the network's coding is not a picture, so it is returned unchanged.
    assert raw.dtype == (np.uint8 if color == "rgb" else np.float32)
    if color == "rgb":
        np.testing.assert_allclose(found, picture * 0.5, atol=0.51)
    else:
        small = cv2.resize(found, (32, 32), interpolation=cv2.INTER_AREA) / 255
        np.testing.assert_allclose(small, decode(raw, "lab"), atol=0.03)


def test_a_thumbnail_reaches_every_tile_and_radiance_stays_float(tmp_path):
    session, seen = open_with(
        tmp_path,
        lambda i: i["picture"] * i["thumbnail"].mean((2, 3), keepdims=True),
        frames=("picture",),
        inputs=(TensorSpec("picture"), TensorSpec("thumbnail", size=(16, 16))),
        outputs=(TensorSpec("out", transfer="linear"),),
        halo=4,
        multiple=4,
        front=StageSpec("thumbnail", {"height": 16, "width": 16}),
    )
    picture = np.uint8(255 * smooth(160, 192))
    found = session(picture)
    assert found.dtype == np.float32
    expected = picture / 255 * (picture / 255).mean((0, 1))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(seen) > 1
    assert all(shapes["thumbnail"] == (1, 3, 16, 16) for shapes in seen)


def test_a_luma_network_gives_a_colour_picture(tmp_path):
    names = ("under_y", "over_y")
    session, seen = open_with(
        tmp_path,
        lambda i: 0.5 * i["under_y"] + 0.5 * i["over_y"],
        frames=FUSION,
        inputs=tuple(TensorSpec(n, channels=1, color="Y") for n in names),
        outputs=(TensorSpec("out", channels=1, color="Y"),),
        halo=2,
        multiple=4,
        front=StageSpec("luma"),
        back=StageSpec("chroma"),
    )
    frame = np.uint8(255 * smooth(150, 130))
    np.testing.assert_allclose(session(frame, frame), frame, atol=1)
    assert len(seen) > 1
    assert all(shapes[n][1] == 1 for shapes in seen for n in names)
    luma = session(frame, frame, fuse=False)
    assert luma.shape == (150, 130, 1)
    assert luma.dtype == np.float32
