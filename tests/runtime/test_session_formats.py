"""Sessions on camera frames: YUV input and output, written into the caller's memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging.bt2100 import encoded
from edgeexpo.imaging.raster import whole_picture
from edgeexpo.runtime import FakeEngine, FrameFormat, load
from edgeexpo.runtime.frames import empty_frame, from_rgb, to_rgb
from edgeexpo.spec import TensorSpec
from tests.support.tiny_bundle import write_bundle

NV12 = FrameFormat("nv12", rotation=90)


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "b")


def identity():
    return FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})


def frame(level, frame_format, kind="uint8"):
    rows = np.linspace(0.5, 1, 40)[:, None, None] * level
    made = empty_frame(40, 36, frame_format, kind)
    from_rgb(np.broadcast_to(rows, (40, 36, 3)).astype(np.float32), frame_format, made)
    return made


def test_the_format_changes_the_numbers_and_not_the_picture(bundle):
    with load(bundle, engine=identity()) as session:
        expected = session(*(frame(v, FrameFormat()) for v in (0.3, 0.9)), ev=3, fuse=False) / 255
    with load(bundle, engine=identity(), frames=NV12) as session:
        found = session(*(frame(v, NV12) for v in (0.3, 0.9)), ev=3, fuse=False)
    assert found.shape == (54, 40)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(whole_picture(to_rgb(found, NV12)), expected, atol=0.02)


@pytest.mark.parametrize(
    ("frames", "output", "kind"),
    [
        (FrameFormat("p010", "bt2020"), FrameFormat(), np.uint16),
        (FrameFormat("i420"), FrameFormat("bgr"), np.uint8),
        (FrameFormat(), FrameFormat("planar"), np.uint8),
    ],
)
def test_pictures_are_as_deep_as_the_frames(bundle, frames, output, kind):
    with load(bundle, engine=identity(), frames=frames, output=output) as session:
        found = session(frame(0.3, frames), frame(0.9, frames), ev=3)
        assert found.dtype == kind
        out = np.empty_like(found)
        session.run_into(out, frame(0.3, frames), over=frame(0.9, frames), ev=3)
    np.testing.assert_array_equal(out, found)


def test_radiance_goes_into_floats(tmp_path):
    changes = {"frames": ("picture",), "front": None, "back": None, "kind": "hdr"}
    linear = (TensorSpec("y_hat", transfer="linear"),)
    folder = write_bundle(tmp_path / "r", outputs=linear, **changes)
    with load(folder, engine=identity(), frames=NV12) as session:
        out = np.empty((40, 36, 3), np.float32)
        session.run_into(out, frame(0.5, NV12))
        np.testing.assert_array_equal(out, session(frame(0.5, NV12)))
        with pytest.raises(PictureError, match="expected a 40x36x3 float32 array"):
            session.run_into(np.empty((40, 36, 3), np.uint8), frame(0.5, NV12))


def test_a_frame_that_does_not_fit_is_named_and_the_session_goes_on(bundle):
    good = [frame(v, NV12) for v in (0.3, 0.9)]
    with load(bundle, engine=identity(), frames=NV12) as session:
        with pytest.raises(PictureError, match=r"frame 'under': found 40x36x3"):
            session(*[np.zeros((40, 36, 3), np.uint8)] * 2)
        with pytest.raises(PictureError, match=r"frame 'over' is 54x38 uint8, frame 'under'"):
            session(good[0], np.zeros((54, 38), np.uint8))
        out = np.full((54, 38), 7, np.uint8)
        with pytest.raises(PictureError, match="output frame is 36x38"):
            session.run_into(out, *good)
        assert (out == 7).all()
        assert session(*good).shape == (54, 40)


def radiance_bundle(folder):
    outputs = (TensorSpec("y_hat", transfer="linear"),)
    return write_bundle(
        folder, frames=("picture",), outputs=outputs, front=None, back=None, kind="hdr"
    )


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_radiance_is_written_for_hdr_displays(tmp_path, transfer):
    bundle = radiance_bundle(tmp_path / "b")
    frame = np.full((32, 48, 3), 128, np.uint8)
    signal = encoded(np.full((1, 1, 3), 128 / 255, np.float32), transfer, 600)[0, 0, 0]
    output = FrameFormat("p010", "bt2020", transfer=transfer, peak_nits=600)
    identity = FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})
    with load(bundle, engine=identity, output=output) as session:
        found = session(frame)
    assert (found.shape, found.dtype) == ((48, 48), np.uint16)
    assert abs((found[5, 7] >> 6) - (64 + 876 * signal)) <= 1
    np.testing.assert_allclose(found[40] >> 6, 512, atol=1)
    rgb = FrameFormat(transfer=transfer, peak_nits=600)
    identity = FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})
    with load(bundle, engine=identity, output=rgb) as session:
        found = session(frame)
        assert found.dtype == np.uint16
        assert abs(found[5, 7] / 65535 - signal).max() < 1e-4
        with pytest.raises(PictureError, match="found uint8 for"):
            session.run_into(np.empty_like(frame), frame)


def test_a_transfer_that_does_not_go_with_the_model_is_refused(tmp_path):
    write_bundle(tmp_path / "b")
    pq = FrameFormat(transfer="pq")
    for options, words in (
        ({"output": pq}, "written in pq and mean gives no radiance"),
        ({"frames": pq}, "frames are in pq; networks take pictures encoded for an ordinary"),
    ):
        with pytest.raises(UsageError, match=words):
            load(tmp_path / "b", engine=FakeEngine(lambda i: i), **options)


def test_the_manifest_says_how_frames_are_read(tmp_path):
    folder = write_bundle(tmp_path / "b", frames=("picture",), front=None, back=None)
    manifest = Bundle.open(folder).manifest
    write_manifest(folder, dataclasses.replace(manifest, frames=NV12, output=FrameFormat("bgr")))
    rgb = np.zeros((32, 48, 3), np.float32) + np.float32([0.8, 0.4, 0.2])
    frame = empty_frame(32, 48, NV12)
    from_rgb(rgb, NV12, frame)
    with load(folder, engine=FakeEngine(lambda i: {"y_hat": i["y0"]})) as session:
        found = session(frame)
    np.testing.assert_allclose(found[8, 8] / 255, [0.2, 0.4, 0.8], atol=0.02)
    with load(
        folder, engine=FakeEngine(lambda i: {"y_hat": i["y0"]}), frames=FrameFormat()
    ) as session:
        assert session((rgb * 255).astype(np.uint8)).shape == (32, 48, 3)
