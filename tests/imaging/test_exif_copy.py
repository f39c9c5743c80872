"""Tests of EXIF data that go from one file to another."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeexpo.imaging.exif_copy import JPEG_LIMIT, copied, trimmed
from edgeexpo.imaging.files import read_exif, read_settings, write_picture


def shot(more):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({33434: 1 / 60, 33437: 4.0, 34855: 100, **more})
    return exif


@pytest.mark.parametrize("size", [100, 64000, 66000, 200000])
def test_the_longest_values_go_until_a_jpeg_holds_the_rest(size):
    data, removed = trimmed(shot({37500: bytes(size), 37510: bytes(500)}).tobytes())
    assert len(data) <= JPEG_LIMIT
    assert removed == ([37500] if size > 64000 else [])
    exif = Image.Exif()
    exif.load(data)
    assert exif.get_ifd(0x8769)[37510] == bytes(500)
    assert exif[0x010F] == "maker"


def test_adobe_rgb_becomes_srgb():
    exif = Image.Exif()
    exif.load(copied(shot({0xA001: 65535, 0xA005: {1: "R03"}}), tiff=False))
    assert exif.get_ifd(0x8769)[0xA001] == 1
    assert 0xA005 not in exif.get_ifd(0x8769)
    assert exif[0x0112] == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_tiffs_own_tags_stay_behind(tmp_path, suffix):
    image = Image.new("RGB", (8, 8))
    image.save(tmp_path / "a.tif", exif=shot({}).tobytes())
    with Image.open(tmp_path / "a.tif") as opened:
        pixels, exif = opened.convert("RGB"), read_exif(tmp_path / "a.tif")
    write_picture(tmp_path / f"b.{suffix}", np.asarray(pixels), exif)
    assert read_settings(tmp_path / f"b.{suffix}").iso == 100
    found = Image.Exif()
    found.load(exif)
    assert not set(found) & {256, 258, 259, 273, 277, 278, 279, 34675}
