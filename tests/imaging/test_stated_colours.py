"""Tests of colour spaces that files state by EXIF data or by chunks of a PNG."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgeexpo.errors import PictureError
from edgeexpo.imaging.files import has_unknown_colours, read_p3_profile, read_picture
from tests.support import icc_profiles

CODES = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
SPACES = {
    "adobe": (icc_profiles.ADOBE, 563 / 256),
    "p3": (icc_profiles.P3, None),
    "linear": (icc_profiles.SRGB, 1.0),
    "wide linear": (icc_profiles.BT2020, 1.0),
}


def converted(space):
    primaries, gamma = SPACES[space]
    profile = io.BytesIO(icc_profiles.profile(primaries, gamma=gamma))
    srgb = ImageCms.createProfile("sRGB")
    image = Image.fromarray(CODES)
    return np.asarray(ImageCms.profileToProfile(image, profile, srgb, renderingIntent=1), int)


def png(path, *chunks):
    """Write the codes as a PNG with chunks (name, body) after its header."""
    Image.fromarray(CODES).save(path)
    data = path.read_bytes()
    more = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path.write_bytes(data[:33] + b"".join(more) + data[33:])
    return path


def chromaticities(primaries):
    pairs = [icc_profiles.D65, *primaries]
    return struct.pack(">8I", *(round(v * 100000) for pair in pairs for v in pair))


@pytest.mark.parametrize(
    ("chunks", "space"),
    [
        ([(b"cICP", bytes((12, 13, 0, 1)))], "p3"),
        ([(b"cICP", bytes((1, 8, 0, 1)))], "linear"),
        ([(b"cICP", bytes((9, 8, 0, 1)))], "wide linear"),
        ([(b"gAMA", struct.pack(">I", 100000))], "linear"),
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", chromaticities(icc_profiles.P3))], "p3"),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], None),
        ([(b"cICP", bytes((1, 13, 0, 1))), (b"gAMA", struct.pack(">I", 100000))], None),
    ],
)
def test_chunks_of_a_png_state_its_colours(tmp_path, chunks, space):
    path = png(tmp_path / "a.png", *chunks)
    expected = CODES if space is None else converted(space)
    assert np.abs(read_picture(path).astype(int) - expected).max() <= 2
    assert (read_p3_profile(path) is not None) == (space == "p3")


@pytest.mark.parametrize("code", [(9, 16, 0, 1), (9, 18, 0, 1), (77, 13, 0, 1), (1, 13, 0, 0)])
def test_codes_that_cannot_be_converted_are_refused(tmp_path, code):
    with pytest.raises(PictureError, match="convert it to sRGB"):
        read_picture(png(tmp_path / "a.png", (b"cICP", bytes(code))))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"cHRM", bytes(32)),
        (b"cHRM", bytes(12)),
        (b"gAMA", struct.pack(">I", 1)),
        (b"cHRM", chromaticities(3 * [icc_profiles.D65])),
        (b"cICP", b"\1"),
    ],
)
def test_impossible_chunks_are_one_line(tmp_path, chunk):
    with pytest.raises(PictureError, match=r"^[^\n]+$"):
        read_picture(png(tmp_path / "a.png", chunk))


@pytest.mark.parametrize(
    ("space", "index", "icc", "unknown"),
    [
        (65535, None, False, True),
        (65535, None, True, False),
        (65535, "R03", False, False),
        (1, None, False, False),
        (2, None, False, False),
        (None, None, False, False),
    ],
)
def test_colours_that_are_not_srgb_and_not_said_are_unknown(tmp_path, space, index, icc, unknown):
    exif = Image.Exif()
    if space is not None:
        exif.get_ifd(0x8769)[0xA001] = space
    if index:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    profile = icc_profiles.profile() if icc else None
    for suffix in ("png", "jpg"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(CODES).save(path, exif=exif.tobytes(), icc_profile=profile)
        assert has_unknown_colours(path) == unknown


@pytest.mark.parametrize(
    ("space", "index", "adobe", "suffix"),
    [
        (65535, "R03", True, "png"),
        (2, "R98", True, "png"),
        (2, None, True, "tif"),
        (1, "R98", False, "png"),
        (65535, None, False, "tif"),
    ],
)
def test_exif_states_adobe_rgb(tmp_path, space, index, adobe, suffix):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = space
    if index:
        exif.get_ifd(0x8769)[0xA005] = {1: index, 2: b"0100"}
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(CODES).save(path, exif=exif.tobytes())
    expected = converted("adobe") if adobe else CODES
    assert np.abs(read_picture(path).astype(int) - expected).max() <= 2
