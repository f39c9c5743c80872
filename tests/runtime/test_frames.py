"""Frame formats agree with the standards' formulas, OpenCV and FFmpeg's scaler."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.frame_format import LAYOUTS, MATRICES, SITINGS, FrameFormat
from edgeexpo.imaging.raster import whole_picture, windows
from edgeexpo.runtime.frames import empty_frame, from_rgb, to_rgb

YUV = [layout for layout in LAYOUTS if FrameFormat(layout).is_yuv]


def formats(layouts):
    """Return every combination of layout, orientation and coding of a frame."""
    return st.builds(
        FrameFormat,
        layout=st.sampled_from(layouts),
        matrix=st.sampled_from(sorted(MATRICES)),
        full_range=st.booleans(),
        siting=st.sampled_from(sorted(SITINGS)),
        rotation=st.sampled_from([0, 90, 180, 270]),
        mirror=st.booleans(),
    )


def rgb(frame, frame_format):
    return whole_picture(to_rgb(frame, frame_format))


def smooth(height=48, width=64):
    """Return a picture with smooth chroma, for which all interpolations agree."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    return np.stack([0.2 + 0.5 * rows, 0.3 + 0.4 * columns, 0.7 - 0.4 * rows], axis=2).astype("f4")


@settings(max_examples=60, deadline=None)
@given(
    frame_format=formats(LAYOUTS),
    half=st.tuples(st.integers(1, 70), st.integers(1, 9)),
)
def test_windows_are_read_and_written_seamlessly(frame_format, half):
    picture = np.random.default_rng(half).random((2 * half[0], 2 * half[1], 3), np.float32)
    at_once, by_windows = (empty_frame(*picture.shape[:2], frame_format) for _ in range(2))
    from_rgb(picture, frame_format, at_once)
    from_rgb(picture, frame_format, by_windows, side=6)
    np.testing.assert_array_equal(by_windows, at_once)
    read = rgb(at_once, frame_format)
    for window in windows(picture.shape, 5, 7):
        np.testing.assert_allclose(to_rgb(at_once, frame_format)[window], read[window], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    frame_format=formats(YUV),
    half=st.tuples(st.integers(1, 70), st.integers(1, 9)),
)
def test_there_and_back(frame_format, half):
    picture = np.broadcast_to(np.float32([0.3, 0.6, 0.45]), (2 * half[0], 2 * half[1], 3)).copy()
    picture[:, 0] = picture[0] = (0.31, 0.6, 0.44)
    frame = empty_frame(*picture.shape[:2], frame_format)
    from_rgb(picture, frame_format, frame)
    step = 1.2 / (876 if frame_format.layout == "p010" else 219) + 0.02
    assert np.abs(rgb(frame, frame_format) - picture).max() < step


@pytest.mark.parametrize("matrix", sorted(MATRICES))
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("layout", ["nv12", "p010"])
def test_a_flat_frame_follows_the_standard(matrix, full, layout):
    bits = 10 if layout == "p010" else 8
    y, cb, cr = (code << (bits - 8) for code in (120, 90, 170))
    red, blue = MATRICES[matrix]
    if full:
        luma = y / (2**bits - 1)
        u, v = ((c - 2 ** (bits - 1)) / (2**bits - 1) for c in (cb, cr))
    else:
        unit = 2 ** (bits - 8)
        luma = (y - 16 * unit) / (219 * unit)
        u, v = ((c - 128 * unit) / (224 * unit) for c in (cb, cr))
    r, b = luma + 2 * (1 - red) * v, luma + 2 * (1 - blue) * u
    expected = (r, (luma - red * r - blue * b) / (1 - red - blue), b)
    frame_format = FrameFormat(layout, matrix, full)
    frame = empty_frame(8, 6, frame_format)
    shift = 6 if layout == "p010" else 0
    frame[:8] = y << shift
    frame[8:, 0::2], frame[8:, 1::2] = cb << shift, cr << shift
    np.testing.assert_allclose(rgb(frame, frame_format)[3, 4], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layout", "code"),
    [
        ("nv12", cv2.COLOR_YUV2RGB_NV12),
        ("nv21", cv2.COLOR_YUV2RGB_NV21),
        ("i420", cv2.COLOR_YUV2RGB_I420),
    ],
)
def test_agrees_with_opencv(layout, code):
    frame_format = FrameFormat(layout, "bt601")
    frame = empty_frame(48, 64, frame_format)
    from_rgb(smooth(), frame_format, frame)
    oracle = cv2.cvtColor(frame, code) / 255
    # OpenCV repeats each chroma sample. The difference is the chroma's slope over half a sample.
    assert np.abs(rgb(frame, frame_format) - oracle).max() < 0.02
    assert np.abs(oracle - smooth()).max() < 0.03


def video_frame(frame, name):
    """Return FFmpeg's frame of the same bytes."""
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    made = av.VideoFrame(width, height, name)
    at = 0
    for plane in made.planes:
        rows = np.zeros((plane.height, plane.line_size // frame.itemsize), frame.dtype)
        count = width // 2 if name == "yuv420p" and at else width
        part = frame.ravel()[at : at + plane.height * count]
        rows[:, :count] = part.reshape(plane.height, count)
        plane.update(rows)
        at += part.size
    return made


@pytest.mark.parametrize("layout", ["nv12", "nv21", "i420", "p010"])
@pytest.mark.parametrize("matrix", sorted(MATRICES))
@pytest.mark.parametrize("full", [False, True])
def test_agrees_with_ffmpeg(layout, matrix, full):
    frame_format = FrameFormat(layout, matrix, full)
    frame = empty_frame(48, 64, frame_format)
    from_rgb(smooth(), frame_format, frame)
    name = {"i420": "yuv420p", "p010": "p010le"}.get(layout, layout)
    space = {"bt601": "ITU601", "bt709": "ITU709", "bt2020": 9}[matrix]
    theirs = video_frame(frame, name).reformat(
        format="rgb48le",
        src_colorspace=space,
        src_color_range="JPEG" if full else "MPEG",
        dst_color_range="JPEG",
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
    )
    oracle = theirs.to_ndarray() / 65535
    assert np.abs(rgb(frame, frame_format) - oracle).max() < 0.012
    assert np.abs(oracle - smooth()).max() < 0.02


def test_chroma_lies_where_the_siting_says():
    frame = np.full((12, 8), 128, np.uint8)
    frame[8:, 1::2] = np.arange(4) * 8 + 100  # V rises by 8 from sample to sample, along the row
    slopes = {}
    for siting in SITINGS:
        red = rgb(frame, FrameFormat("nv12", "bt709", True, siting))[4, :, 0]
        slopes[siting] = np.rint((red * 255 - 128) / (2 * (1 - 0.2126)) + 28)[2:6]
    np.testing.assert_array_equal(slopes["left"], [8, 12, 16, 20])
    np.testing.assert_array_equal(slopes["topleft"], slopes["left"])
    np.testing.assert_array_equal(slopes["center"], [6, 10, 14, 18])


def test_padded_rows_and_planes_are_read_where_they_are():
    frame_format = FrameFormat("nv12")
    packed = empty_frame(16, 24, frame_format)
    from_rgb(smooth(16, 24), frame_format, packed)
    buffer = np.zeros((24, 40), np.uint8)
    buffer[:, :24] = packed
    expected = rgb(packed, frame_format)
    np.testing.assert_array_equal(rgb(buffer[:, :24], frame_format), expected)
    planes = (buffer[:16, :24], buffer[16:, :24].reshape(8, 12, 2))
    np.testing.assert_array_equal(rgb(planes, frame_format), expected)
    out = np.zeros_like(buffer)
    from_rgb(smooth(16, 24), frame_format, out[:, :24])
    np.testing.assert_array_equal(out, buffer)


def test_planes_of_i420_are_three():
    frame_format = FrameFormat("i420")
    packed = empty_frame(6, 10, frame_format)
    from_rgb(smooth(6, 10), frame_format, packed)
    chroma = packed[6:].reshape(2, 3, 5)
    planes = (packed[:6], chroma[0], chroma[1])
    np.testing.assert_array_equal(rgb(planes, frame_format), rgb(packed, frame_format))
    wide = np.zeros((9, 16), np.uint8)
    wide[:, :10] = packed
    with pytest.raises(PictureError, match="padded rows; expected its three planes"):
        rgb(wide[:, :10], frame_format)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("layout", ["rgb", "bgr", "planar"])
def test_rgb_in_any_order(layout, kind):
    picture = smooth()
    frame_format = FrameFormat(layout, rotation=90, mirror=True)
    frame = empty_frame(48, 64, frame_format, kind)
    from_rgb(picture, frame_format, frame)
    assert frame.dtype == kind
    assert frame.shape == {"planar": (3, 64, 48)}.get(layout, (64, 48, 3))
    step = {"uint8": 0.5 / 255, "uint16": 0.5 / 65535, "float16": 5e-4, "float32": 0}[kind]
    np.testing.assert_allclose(rgb(frame, frame_format), picture, atol=step + 1e-7)
    red = {"rgb": frame[..., 0], "bgr": frame[..., 2], "planar": frame[0]}[layout]
    plain = np.float32(red) / (np.iinfo(kind).max if kind.startswith("u") else 1)
    upright = cv2.flip(cv2.rotate(plain, cv2.ROTATE_90_CLOCKWISE), 1)
    np.testing.assert_allclose(upright, picture[..., 0], atol=step + 1e-7)


@pytest.mark.parametrize(
    ("frame", "frame_format", "words"),
    [
        (np.zeros((9, 7), np.uint8), FrameFormat("nv12"), "3H/2 rows of W numbers for nv12"),
        (np.zeros((10, 8), np.uint8), FrameFormat("nv12"), "found 10x8"),
        (np.zeros((9, 8), np.uint8), FrameFormat("p010"), "found uint8; expected uint16 for p010"),
        (np.zeros((4, 8, 3), np.uint8), FrameFormat("nv21"), "found 4x8x3"),
        ([np.zeros((4, 8), np.uint8)], FrameFormat("nv12"), "found 1 planes; expected 2"),
        ([np.zeros((5, 8), np.uint8)] * 2, FrameFormat("nv12"), "expected HxW, both even"),
        (
            [np.zeros((4, 8), np.uint8), np.zeros((2, 6), np.uint8)],
            FrameFormat("nv12"),
            "found 2x6 for UV; expected 2x4x2 or 2x8",
        ),
        (
            [np.zeros((4, 8), np.uint8), np.zeros((2, 4), np.uint8), np.zeros((2, 3), np.uint8)],
            FrameFormat("i420"),
            "expected 2x4: half of Y",
        ),
        (np.zeros((4, 8, 4), np.uint8), FrameFormat("bgr"), "drop the alpha channel"),
        (np.zeros((4, 8, 3), np.uint8), FrameFormat("planar"), "expected 3xHxW"),
        ([np.zeros((4, 8, 3), np.uint8)], FrameFormat(), "found list; expected one array"),
        (np.zeros((4, 8, 3), np.int64), FrameFormat(), "expected uint8, uint16"),
        (np.full((4, 8, 3), np.inf, np.float32), FrameFormat(), r"expected \[0,1\]"),
        (np.zeros((0, 8, 3), np.uint8), FrameFormat(), "found 0x8x3"),
    ],
)
def test_bad_frames_are_one_line(frame, frame_format, words):
    with pytest.raises(PictureError, match=words) as caught:
        rgb(frame, frame_format)
    assert "\n" not in str(caught.value)


def test_bad_outputs_are_refused_and_untouched():
    picture, frame_format = smooth(8, 12), FrameFormat("nv12")
    frozen = empty_frame(8, 12, frame_format)
    frozen[...] = 7
    frozen.flags.writeable = False
    with pytest.raises(PictureError, match="read-only"):
        from_rgb(picture, frame_format, frozen)
    small = np.full((9, 12), 7, np.uint8)
    with pytest.raises(PictureError, match="is 6x12; expected 8x12"):
        from_rgb(picture, frame_format, small)
    turned = np.full((8, 12, 3), 7, np.uint8)
    with pytest.raises(PictureError, match="expected 12x8"):
        from_rgb(picture, FrameFormat(rotation=90), turned)
    assert all((array == 7).all() for array in (frozen, small, turned))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layout": "nv16"}, "layout of a frame is 'nv16'; expected rgb"),
        ({"matrix": "srgb"}, "expected bt601, bt709, bt2020"),
        ({"siting": "middle"}, "expected left"),
        ({"rotation": 45}, "rotation of a frame is 45; expected 0, 90, 180, 270"),
    ],
)
def test_unknown_formats_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        FrameFormat(**changes)
