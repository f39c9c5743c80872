"""Tests of what ``edgeexpo run`` says of a picture file before the work: what will not be kept."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeexpo.cli import main
from edgeexpo.errors import EngineError
from edgeexpo.imaging.files import write_picture
from edgeexpo.imaging.gain_maps import encode_gain_map
from tests.support.films import scene
from tests.support.gain_map_decoder import ISO as GAIN_MAP_ISO
from tests.support.icc_profiles import profile
from tests.support.tiny_bundle import write_bundle

RGB = Image.fromarray(scene(0))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def shot(**more):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8769).update({33434: 1 / 60, **{int(k[1:]): v for k, v in more.items()}})
    return exif


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "b", frames=("picture",), front=None, back=None)
    return tmp_path


def said(capsys, monkeypatch, name, output):
    """Run the bundle with an engine that fails, and return what was said before it did."""

    def stop(*_, **__):
        raise EngineError("the work begins")

    monkeypatch.setattr("edgeexpo.cli.run.open_session", stop)
    assert main(["run", "b", name, "-o", output]) == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert "the work begins" in last
    return lines


@pytest.mark.parametrize(
    ("options", "output", "words"),
    [
        ({"exif": shot(t37500=bytes(66000))}, "o.jpg", "tags that are too long for a JPEG 0x927C"),
        ({"exif": shot(t37500=bytes(66000))}, "o.png", None),
        ({"exif": shot(t37500=bytes(600))}, "o.jpg", None),
        ({"exif": shot()}, "o.tif", None),
        ({"xmp": XMP}, "o.png", "XMP data"),
        ({}, "o.jpg", None),
    ],
)
def test_what_a_file_cannot_hold_is_said(place, capsys, monkeypatch, options, output, words):
    RGB.save("a.webp", lossless=True, **options)
    lines = said(capsys, monkeypatch, "a.webp", output)
    if words is None:
        assert lines == []
    else:
        (line,) = lines
        assert f"{output} will not keep of a.webp: " in line
        assert words in line


def test_further_pictures_are_said(place, capsys, monkeypatch):
    RGB.save("a.jpg", "MPO", save_all=True, append_images=[RGB.resize((32, 24))])
    (line,) = said(capsys, monkeypatch, "a.jpg", "o.png")
    assert "1 more picture (a preview)" in line


def of_version(data, form):
    """Replace the versions that one form of a gain map's metadata states by unknown ones."""
    if form == "iso":
        parts = data.split(GAIN_MAP_ISO)
        return GAIN_MAP_ISO.join([parts[0], *(b"\0\7" + part[2:] for part in parts[1:])])
    return data.replace(b'hdrgm:Version="1.0"', b'hdrgm:Version="9.0"')


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ((), "a gain map (ISO 21496-1 version 0)"),
        (("xmp",), "a gain map (ISO 21496-1 version 0)"),
        (("iso",), "a gain map (XMP hdrgm version 1.0)"),
        (("iso", "xmp"), "a gain map (ISO 21496-1 version 7, which is unknown here)"),
    ],
)
def test_a_gain_map_is_left_out_with_a_note(place, capsys, monkeypatch, unknown, words):
    picture = scene(0)
    data = encode_gain_map(picture, picture / np.float32(64))
    for form in unknown:
        data = of_version(data, form)
    (place / "a.jpg").write_bytes(data)
    first, second = said(capsys, monkeypatch, "a.jpg", "o.png")
    assert first.startswith(f"edgeexpo: a.jpg has {words}; its picture for ordinary displays (SDR)")
    assert second.endswith("will not keep of a.jpg: XMP data")


def test_a_file_of_another_program_is_one_line(place, capsys, monkeypatch):
    imagecodecs = pytest.importorskip("imagecodecs")
    (place / "a.jpg").write_bytes(imagecodecs.ultrahdr_encode(np.ones((32, 32, 4), np.float16)))
    (line,) = said(capsys, monkeypatch, "a.jpg", "o.png")
    assert "a.jpg has a gain map (ISO 21496-1 version 0); " in line


def test_a_deep_tiff_without_exif_is_said(place, capsys, monkeypatch):
    write_picture("a.png", np.full((32, 32, 3), 900, np.uint16), shot().tobytes())
    (line,) = said(capsys, monkeypatch, "a.png", "o.tif")
    assert "EXIF data (a TIFF with 16 bits a channel holds none)" in line
    assert said(capsys, monkeypatch, "a.png", "o.png") == []


def test_colours_that_are_not_stated_are_said(place, capsys, monkeypatch):
    RGB.save("a.jpg", exif=shot(t40961=65535))
    (line,) = said(capsys, monkeypatch, "a.jpg", "o.png")
    assert "a.jpg says by EXIF data that it is not sRGB" in line


@pytest.mark.parametrize("space", [1, 65535])
@pytest.mark.parametrize("keep", [True, False])
def test_exif_data_say_the_colours_of_the_profile(place, space, keep):
    RGB.save("a.jpg", exif=shot(t40961=space), icc_profile=profile())
    flags = ["--keep-p3"] if keep else []
    for output in ("o.jpg", "o.png", "o.tif"):
        assert main(["run", "b", "a.jpg", "-o", output, *flags]) == 0
        with Image.open(output) as image:
            assert image.getexif().get_ifd(0x8769)[40961] == (65535 if keep else 1)


def test_bits_that_are_not_used_are_said(place, capsys, monkeypatch):
    imagecodecs = pytest.importorskip("imagecodecs")
    picture = np.full((32, 32, 3), 500, np.uint16)
    (place / "a.avif").write_bytes(imagecodecs.avif_encode(picture, bitspersample=10))
    (line,) = said(capsys, monkeypatch, "a.avif", "o.png")
    assert line == "edgeexpo: a.avif has 10 bits a channel, of which 8 are used"
