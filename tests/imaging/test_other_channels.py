"""Tests of pictures that are not red, green and blue: grey, transparent and CMYK."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from edgeexpo.imaging.files import read_bits, read_picture
from tests.support import icc_profiles
from tests.support.films import scene

RGB = Image.fromarray(scene(0))
GREY = RGB.convert("L")
CLEAR = Image.merge("RGBA", (*RGB.split(), GREY))


def grey_of(image):
    return np.repeat(np.array(image)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("image", "name", "wanted", "words"),
    [
        (GREY, "p.png", grey_of(GREY), "greyscale; its three channels"),
        (GREY.convert("1"), "p.png", grey_of(GREY.convert("1").convert("L")), "greyscale"),
        (RGB.convert("LA"), "p.png", grey_of(GREY), "greyscale with alpha; alpha is dropped"),
        (CLEAR, "p.png", scene(0), "RGBA; alpha is dropped"),
        (CLEAR, "p.tif", scene(0), "RGBA"),
        (RGB.convert("CMYK"), "p.tif", scene(0), "CMYK; it is converted to sRGB"),
    ],
)
def test_other_channels_are_converted_with_a_note(tmp_path, capsys, image, name, wanted, words):
    image.save(tmp_path / name)
    np.testing.assert_array_equal(read_picture(tmp_path / name), wanted)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name} is {words}" in line


def test_a_note_on_a_file_comes_once(tmp_path, capsys):
    GREY.save(tmp_path / "p.png")
    for _ in range(2):
        read_picture(tmp_path / "p.png")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_transparent_colours_are_dropped_with_a_note(tmp_path, capsys, mode):
    image = RGB.convert(mode)
    wanted = np.array(image.convert("RGB"))
    key = 0 if mode == "P" else tuple(scene(0)[0, 0].tolist())
    image.save(tmp_path / "p.png", transparency=key)
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png"), wanted)
    assert "transparent in places; alpha is dropped" in capsys.readouterr().err


def test_rgb_has_no_note(tmp_path, capsys):
    RGB.save(tmp_path / "p.png")
    RGB.convert("P").save(tmp_path / "q.png")
    for name in ("p.png", "q.png"):
        read_picture(tmp_path / name)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_stay_16_bits_where_they_can(tmp_path, capsys, channels, suffix):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 65536, (20, 30, channels), np.uint16)
    path = tmp_path / f"p.{suffix}"
    assert cv2.imwrite(str(path), codes)
    found = read_picture(path)
    wanted = np.repeat(codes, 3, axis=2) if channels == 1 else codes[..., 2::-1]
    if (channels, suffix) == (4, "tif"):
        assert read_bits(path) == (16, 8)
        assert np.abs(found.astype(int) * 257 - wanted).max() <= 257
    else:
        assert read_bits(path) == (16, 16)
        np.testing.assert_array_equal(found, wanted)
    assert ("p." in capsys.readouterr().err) is (channels != 3)


def test_a_deep_grey_tiff_whose_white_is_zero_is_inverted(tmp_path):
    codes = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(codes).save(tmp_path / "p.tif", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_picture(tmp_path / "p.tif")[..., 0], 65535 - codes)


def test_a_grey_profile_is_applied(tmp_path):
    """Little CMS interpolates the darkest codes of a grey curve, by up to six codes here."""
    codes = np.repeat(np.arange(256, dtype=np.uint8)[None], 16, axis=0)
    Image.fromarray(codes).save(tmp_path / "p.png", icc_profile=grey_profile(1.8))
    found = read_picture(tmp_path / "p.png")
    wanted = icc_profiles.srgb_encoded((codes / 255) ** 1.8) * 255
    error = np.abs(found - wanted[..., None])
    assert error.max() <= 6
    assert error[:, 32:].max() <= 1


def test_cmyk_of_a_jpeg_is_near_the_picture(tmp_path):
    RGB.convert("CMYK").save(tmp_path / "p.jpg", quality=100, subsampling=0)
    assert np.abs(read_picture(tmp_path / "p.jpg").astype(int) - scene(0)).max() < 20


def grey_profile(gamma):
    """Return an ICC profile of grey with one curve."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv" + struct.pack(">4xIH", 1, round(gamma * 256)) + bytes(2)
    text = "grey".encode("utf-16-be")
    name = b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = {b"desc": name, b"cprt": name, b"wtpt": white, b"kTRC": curve}
    at, table, body = 132 + 12 * len(tags), b"", b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    rest = struct.pack(">I", len(tags)) + table + body
    header = struct.pack(">I4xI", 128 + len(rest), 4 << 24) + b"mntrGRAYXYZ "
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp"
    data = (header.ljust(68, b"\0") + white[8:]).ljust(128, b"\0") + rest
    assert ImageCms.ImageCmsProfile(io.BytesIO(data)).profile.xcolor_space == "GRAY"
    return data
