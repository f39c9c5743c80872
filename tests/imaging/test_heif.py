"""Tests of reading HEIF and AVIF files: pixels, orientation, colours, EXIF data and bit depth."""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.imaging import heif
from edgeexpo.imaging.files import (
    read_bits,
    read_exif,
    read_exposure,
    read_p3_profile,
    read_picture,
    write_picture,
)
from tests.support import icc_profiles
from tests.support.films import scene

PICTURE = scene(0)
SHOT = {33434: 1 / 60, 33437: 8.0, 34855: 100}


def exif(orientation=1):
    data = Image.Exif()
    data[0x0112], data[0x010F] = orientation, "maker"
    data.get_ifd(0x8769).update(SHOT)
    return data.tobytes()


def as_heif(path, picture, bits=8, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width = picture.shape[:2]
    mode = "RGB" if bits == 8 else "RGB;16"
    made = pillow_heif.from_bytes(mode=mode, size=(width, height), data=picture.tobytes())
    stream = io.BytesIO()
    made.save(stream, quality=-1, chroma=444, matrix_coefficients=0, **options)
    path.write_bytes(stream.getvalue())
    return path


def as_avif(path, picture, **options):
    Image.fromarray(picture).save(path, "AVIF", quality=100, subsampling="4:4:4", **options)
    return path


WRITERS = {"heic": as_heif, "avif": as_avif}


@pytest.mark.parametrize("suffix", WRITERS)
def test_pixels_and_exif_data_are_read(tmp_path, suffix):
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", PICTURE, exif=exif())
    assert np.abs(read_picture(path).astype(int) - PICTURE).max() <= 3
    assert read_exposure(path) == pytest.approx(np.log2(1 / 60 / 64))
    kept = Image.Exif()
    kept.load(read_exif(path))
    assert kept[0x010F] == "maker"
    assert read_bits(path) == (8, 8)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_picture_is_turned_once(tmp_path, suffix):
    """Both writers turn the EXIF orientation into a property of the file, which decoders apply."""
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", PICTURE, exif=exif(6))
    assert b"irot" in path.read_bytes()
    assert np.abs(read_picture(path).astype(int) - np.rot90(PICTURE, -1)).max() <= 3


@pytest.mark.parametrize("suffix", WRITERS)
def test_display_p3_is_kept_or_converted(tmp_path, suffix):
    profile = icc_profiles.profile()
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", PICTURE, icc_profile=profile)
    assert read_p3_profile(path) == profile
    assert np.abs(read_picture(path, keep_p3=True).astype(int) - PICTURE).max() <= 3
    write_picture(tmp_path / "a.png", PICTURE, profile=profile)
    wanted = read_picture(tmp_path / "a.png").astype(int)
    assert np.abs(read_picture(path) - wanted).mean() < 1.5


def coded(primaries, transfer):
    imagecodecs = pytest.importorskip("imagecodecs")
    return imagecodecs.avif_encode(
        PICTURE.astype(np.uint16) << 2,
        level=100,
        bitspersample=10,
        primaries=primaries,
        transfer=transfer,
        matrix=0,
        pixelformat="444",
    )


def test_codes_state_colours_and_bits(tmp_path):
    path = tmp_path / "a.avif"
    path.write_bytes(coded(12, 13))
    assert heif.stated(path.read_bytes()) == heif.Stated((12, 13), 10)
    assert read_bits(path) == (10, 8)
    assert read_p3_profile(path) is not None
    assert np.abs(read_picture(path, keep_p3=True).astype(int) - PICTURE).max() <= 3
    path.write_bytes(coded(1, 13))
    assert np.abs(read_picture(path).astype(int) - PICTURE).max() <= 3


@pytest.mark.parametrize(
    ("codes", "words"), [((9, 16), "HDR displays .PQ"), ((9, 18), "HLG"), ((10, 13), "10/13 .nclx")]
)
def test_other_codes_are_refused(tmp_path, codes, words):
    path = tmp_path / "a.avif"
    path.write_bytes(coded(*codes))
    with pytest.raises(PictureError, match=words):
        read_picture(path)


def test_a_deep_heif_is_read_with_8_bits(tmp_path):
    deep = PICTURE.astype(np.uint16) * 257
    path = as_heif(tmp_path / "a.heic", deep, bits=16)
    assert read_bits(path)[0] > 8
    assert np.abs(read_picture(path).astype(int) - PICTURE).max() <= 3


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = as_heif(tmp_path / "a.heic", PICTURE)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[photo\]"):
        read_picture(path)


def test_a_pillow_without_avif_is_named(tmp_path, monkeypatch):
    path = as_avif(tmp_path / "a.avif", PICTURE)
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(MissingDependencyError, match="built without it"):
        read_picture(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_truncated_file_is_one_line(tmp_path, suffix):
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", PICTURE)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(PictureError, match="damaged") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), suffix=st.sampled_from(list(WRITERS)))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, seed, suffix):
    rng = np.random.default_rng(seed)
    path = WRITERS[suffix](tmp_path_factory.mktemp("damaged") / f"a.{suffix}", PICTURE)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, min(len(data), 600), 4):
        data[at] = rng.integers(0, 256)
    path.write_bytes(data)
    with contextlib.suppress(PictureError):
        read_picture(path)


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    path = as_heif(tmp_path / "a.heic", PICTURE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(PictureError, match="larger than 100 pixels"):
        read_picture(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_boxes_raise_nothing(data):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "AVIF")
    file = bytearray(stream.getvalue())
    at = data.draw(st.integers(0, min(len(file) - 1, 400)))
    file[at] = data.draw(st.integers(0, 255))
    found = heif.stated(bytes(file[: data.draw(st.integers(0, len(file)))]))
    assert found.bits >= 0
