"""Tests of reading videos: pixel formats, colours, sizes, times and what is refused."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import av
import numpy as np
import pytest

from edgeexpo.errors import PictureError
from edgeexpo.imaging.clips import Clip
from edgeexpo.imaging.raster import whole_picture
from edgeexpo.runtime.frames import to_rgb
from tests.support.films import film, scene, turn


def pictures(path):
    """Return the frames of a clip as HxWx3 codes in float, with their times in seconds."""
    with contextlib.closing(Clip(path)) as clip:
        found = [(time, to_rgb(planes, clip.frame_format)) for time, planes in clip.frames()]
        return [255 * whole_picture(raster) for _, raster in found], [
            float(shown * base) for (shown, base), _ in found
        ]


def described(path):
    with contextlib.closing(Clip(path)) as clip:
        return clip


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuva420p"])
def test_colours_are_read_by_matrix_and_range(tmp_path, pixels, matrix, full):
    path = tmp_path / "a.mkv"
    film(path, 1, sound=None, codec="ffv1", pixels=pixels, colorspace=matrix, full=full)
    (found,), _ = pictures(path)
    assert np.abs(found - scene(0)).mean() < 1.5


@pytest.mark.parametrize("pixels", ["bgr0", "gbrp10le", "bgra", "rgb48le"])
@pytest.mark.parametrize("size", [(48, 64), (720, 16)])
def test_rgb_needs_no_matrix(tmp_path, pixels, size):
    path = tmp_path / "a.mkv"
    film(path, 1, size, sound=None, codec="ffv1", pixels=pixels)
    (found,), _ = pictures(path)
    assert np.abs(found - scene(0, *size)).mean() < 1.5


@pytest.mark.parametrize(
    ("pixels", "losses"),
    [
        ("yuv420p", []),
        ("yuv420p10le", ["10 bits a channel"]),
        ("yuv422p", ["colours at more than half the resolution"]),
        ("gbrp10le", ["10 bits a channel", "colours at more than half the resolution"]),
        ("yuva420p", ["transparency"]),
        ("gray", []),
    ],
)
def test_what_8_bits_and_420_cannot_keep_is_named(tmp_path, pixels, losses):
    film(tmp_path / "a.mkv", 1, sound=None, codec="ffv1", pixels=pixels)
    assert described(tmp_path / "a.mkv").losses == losses


def test_interlacing_is_named(tmp_path):
    film(tmp_path / "a.mkv", 2, sound=None, interlaced=True)
    assert described(tmp_path / "a.mkv").losses == ["interlaced fields"]


@pytest.mark.parametrize(("matrix", "size"), [((1, 0, 0, 1), (48, 64)), ((0, 1, -1, 0), (64, 48))])
def test_the_pixel_aspect_turns_with_the_picture(tmp_path, matrix, size):
    film(tmp_path / "a.mp4", 1, sound=None, aspect=Fraction(4, 3))
    turn(tmp_path / "a.mp4", matrix)
    clip = described(tmp_path / "a.mp4")
    assert clip.size == size
    assert clip.pixel_aspect == (Fraction(4, 3) if size == (48, 64) else Fraction(3, 4))


def test_a_mirrored_picture_is_shown_mirrored(tmp_path):
    film(tmp_path / "a.mp4", 1, sound=None)
    turn(tmp_path / "a.mp4", (-1, 0, 0, 1))
    (found,), _ = pictures(tmp_path / "a.mp4")
    assert np.abs(found - scene(0)[:, ::-1]).mean() < 1.5


@pytest.mark.parametrize(
    ("transfer", "words"),
    [(16, "PQ, for HDR"), (18, "HLG, for HDR"), (8, "linear light"), (9, "a logarithmic curve")],
)
def test_other_transfers_are_refused(tmp_path, transfer, words):
    film(tmp_path / "a.mp4", 1, sound=None, tags=(9, transfer), colorspace=9)
    with pytest.raises(PictureError, match=f"encoded in {words}.*convert it first"):
        Clip(tmp_path / "a.mp4")


def test_an_unknown_matrix_is_refused(tmp_path):
    film(tmp_path / "a.mkv", 1, sound=None, codec="ffv1", colorspace=2)
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.colorspace = 8
        frame = av.VideoFrame(32, 32, "yuv420p")
        frame.colorspace = 8
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert described(tmp_path / "a.mkv").frame_format.matrix == "bt601"
    with pytest.raises(PictureError, match=r"colour matrix 8 .*convert it first"):
        Clip(tmp_path / "b.mkv")


def test_a_cover_is_no_picture_of_the_video(tmp_path):
    film(tmp_path / "a.mp4", 2, sound=None, cover=True)
    clip = described(tmp_path / "a.mp4")
    assert (clip.size, clip.losses) == ((48, 64), ["track 1 (cover)"])


def test_a_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "a.mkv", 1, sound=None)
    (tmp_path / "a.mkv").rename(tmp_path / "concat:30.mkv")
    path = (tmp_path / "concat:30.mkv").relative_to(tmp_path)
    assert described(path).size == (48, 64)


@pytest.mark.parametrize("times", [[0, 1, 2], [25, 26, 27], [0, 5, 40]])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_are_the_files_own_and_the_length_is_read(tmp_path, suffix, times):
    path = tmp_path / f"a.{suffix}"
    film(path, 3, sound=None, times=times)
    assert pictures(path)[1] == pytest.approx([t / 25 for t in times])
    with contextlib.closing(Clip(path)) as clip:
        assert len(list(clip.frames())) == 3
        assert clip.seconds is not None
        assert clip.read_seconds >= clip.seconds - 0.1


def test_a_size_that_changes_is_refused(tmp_path):
    parts = []
    for size in ((48, 64), (32, 32)):
        film(tmp_path / "part.ts", 3, size, sound=None)
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "a.mkv").write_bytes(b"".join(parts))
    with (
        contextlib.closing(Clip(tmp_path / "a.mkv")) as clip,
        pytest.raises(PictureError, match="changes its size from 48x64 to 32x32 at frame 3"),
    ):
        list(clip.frames())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as a video"),
        (b"no video" * 99, "cannot be read as a video|a text, not a video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "cannot be read as a video|a picture or a text"),
    ],
)
def test_files_that_are_no_videos_are_one_line(tmp_path, content, words):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(PictureError, match=words):
        Clip(tmp_path / "a.mp4")


def test_a_picture_named_as_a_video_is_refused(tmp_path):
    from PIL import Image

    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        Image.fromarray(scene(0)).save(tmp_path / "a.mp4", kind)
        with pytest.raises(PictureError, match="a picture or a text, not a video"):
            Clip(tmp_path / "a.mp4")
