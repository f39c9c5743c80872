"""Sessions on camera frames: YUV in and out, written into the caller's memory."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_bundle import write_bundle

from edgeexpo.errors import PictureError
from edgeexpo.imaging.raster import whole
from edgeexpo.runtime import FakeEngine, FrameFormat, load
from edgeexpo.runtime.frames import empty, from_rgb, to_rgb
from edgeexpo.spec import TensorSpec

NV12 = FrameFormat("nv12", rotation=90)


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "b")


def identity():
    return FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})


def frame(level, frame_format, kind="uint8"):
    rows = np.linspace(0.5, 1, 40)[:, None, None] * level
    made = empty(40, 36, frame_format, kind)
    from_rgb(np.broadcast_to(rows, (40, 36, 3)).astype(np.float32), frame_format, made)
    return made


def test_the_format_changes_the_numbers_and_not_the_picture(bundle):
    with load(bundle, engine=identity()) as session:
        expected = session(*(frame(v, FrameFormat()) for v in (0.3, 0.9)), ev=3, fuse=False) / 255
    with load(bundle, engine=identity(), frames=NV12) as session:
        found = session(*(frame(v, NV12) for v in (0.3, 0.9)), ev=3, fuse=False)
    assert found.shape == (54, 40)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(whole(to_rgb(found, NV12)), expected, atol=0.02)


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
