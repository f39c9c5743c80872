"""Tests of ``edgeexpo run`` on files that it cannot use: one line each, and nothing is written."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from edgeexpo.cli import main
from tests.support.films import film, scene
from tests.support.tiny_bundle import write_bundle

RGB = Image.fromarray(scene(0))
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def sized(height, width):
    """Return a PNG file that says another size than it has."""
    data = encoded(RGB, "PNG")
    head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


def animated(kind):
    frames = [Image.fromarray(scene(i)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "b", frames=("picture",), front=None, back=None)
    return tmp_path


def refused(capsys, place, name, output):
    """Run the bundle on a file, and return the one line that refuses it."""
    assert main(["run", "b", name, "-o", output]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert not list(place.glob("*out.*"))
    return err


@pytest.mark.parametrize("share", [0, 0.02, 0.2, 0.6, 0.8])
@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_pictures(place, capsys, kind, share):
    data = encoded(RGB, kind)
    (place / "a.jpg").write_bytes(data[: int(len(data) * share)])
    assert "a.jpg" in refused(capsys, place, "a.jpg", "out.png")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a picture"),
        (b"a text\n" * 50, "is not a picture"),
        (b"PK\3\4" + bytes(200), "is not a picture"),
        (encoded(RGB.convert("F"), "TIFF"), "is 48x64 and F; expected 8 or 16 bits a channel"),
        (encoded(RGB.convert("LAB"), "TIFF"), "is 48x64 and LAB; expected 8 or 16 bits a channel"),
        *((animated(kind), "several pictures") for kind in ("GIF", "WEBP", "PNG", "TIFF")),
        (sized(0, 0), "damaged|not a picture"),
        (sized(48, 0), "damaged|not a picture"),
        (sized(2**31, 2**31), "damaged|not a picture|larger than"),
        (sized(60000, 60000), "larger than"),
        (encoded(RGB.resize((9, 9)), "PNG"), "found 9x9 pixels; expected at least 16x16"),
        (encoded(RGB.resize((1, 64)), "PNG"), "expected at least 16x16"),
    ],
)
def test_pictures_of_another_kind(place, capsys, content, words):
    (place / "a.png").write_bytes(content)
    line = refused(capsys, place, "a.png", "out.png")
    assert "a.png" in line or "frame 'picture'" in line
    assert any(word in line for word in words.split("|")), line


def test_files_that_are_elsewhere_or_no_files(place, capsys):
    (place / "folder.png").mkdir()
    assert "cannot be read" in refused(capsys, place, "folder.png", "out.png")
    assert "cannot be read" in refused(capsys, place, "missing.png", "out.png")
    (place / "folder.mp4").mkdir()
    assert "cannot be read as a video" in refused(capsys, place, "folder.mp4", "out.mp4")


def test_a_video_named_as_a_picture_and_a_picture_named_as_a_video(place, capsys):
    film(place / "a.mp4", count=2)
    (place / "a.mp4").rename(place / "a.jpg")
    assert "a.jpg is not a picture" in refused(capsys, place, "a.jpg", "out.png")
    RGB.save(place / "b.mp4", "PNG")
    assert "b.mp4 is a picture" in refused(capsys, place, "b.mp4", "out.mp4")


@pytest.mark.parametrize("size", [(2, 2), (8, 64), (48, 14)])
def test_tiny_videos(place, capsys, size):
    film(place / "a.mkv", count=2, size=size, sound=None, codec="ffv1")
    assert main(["run", "b", "a.mkv", "-o", "out.mp4"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "expected at least 16x16" in err
    assert not list(place.glob("*out.*"))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "webm"])
def test_truncated_videos_are_refused_or_said_to_be_truncated(place, capsys, suffix, share):
    codec, tone = {"webm": ("libvpx-vp9", "libopus"), "avi": ("mpeg4", "libmp3lame")}.get(
        suffix, ("libx264", "aac")
    )
    film(place / f"whole.{suffix}", count=40, codec=codec, sound=tone)
    data = (place / f"whole.{suffix}").read_bytes()
    (place / f"cut.{suffix}").write_bytes(data[: int(len(data) * share)])
    code = main(["run", "b", f"cut.{suffix}", "-o", "out.mp4"])
    lines = capsys.readouterr().err.splitlines()
    assert code in (0, 2)
    assert len(lines) <= 1
    assert not list(place.glob(".out*"))
    assert (place / "out.mp4").exists() == (code == 0)
