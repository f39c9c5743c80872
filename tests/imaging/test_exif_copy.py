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


def loaded(data):
    exif = Image.Exif()
    exif.load(data)
    return exif


@pytest.mark.parametrize("size", [100, 64000, 66000, 200000])
def test_the_longest_values_go_until_a_jpeg_holds_the_rest(size):
    data, removed = trimmed(shot({37500: bytes(size), 37510: bytes(500)}).tobytes())
    assert len(data) <= JPEG_LIMIT
    assert removed == ([37500] if size > 64000 else [])
    exif = loaded(data)
    assert exif.get_ifd(0x8769)[37510] == bytes(500)
    assert exif[0x010F] == "maker"


def test_adobe_rgb_becomes_srgb():
    inner = {0xA001: 65535, 0xA005: {1: "R03"}, 0xA500: 2.2, 0xA002: 4000, 0xA003: 3000}
    exif = loaded(copied(shot(inner), tiff=False)[0])
    assert exif.get_ifd(0x8769)[0xA001] == 1
    assert not set(exif.get_ifd(0x8769)) & {0xA005, 0xA500, 0xA002, 0xA003}
    assert exif[0x0112] == 1


def test_text_keeps_its_bytes_through_copies_and_cuts():
    source = shot({37500: bytes(70000)})
    source[0x013B] = "Jürg Müller".encode()
    data, invalid = copied(loaded(source.tobytes()), tiff=False)
    assert invalid == []
    for encoded in (data, trimmed(data)[0]):
        assert loaded(encoded)[0x013B].encode("latin-1").decode() == "Jürg Müller"


@pytest.mark.parametrize("value", [70000, -1, "text", None, (1, 2, "three")])
def test_values_that_no_tag_holds_are_left_out_and_named(value):
    source = shot({})
    source[0x0128] = value
    data, invalid = copied(source, tiff=False)
    assert invalid == [0x0128]
    assert loaded(data)[0x010F] == "maker"


def test_many_short_values_are_cut_too():
    data, removed = trimmed(shot({40000 + i: i for i in range(600)}).tobytes(), limit=6000)
    assert len(data) <= 6000
    assert 60 < len(removed) < 150


def test_a_jpeg_may_hold_a_tiffs_tags_which_stay_behind():
    source = shot({})
    source[273], source[301], source[0x0110] = 8, (0, 1), "model"
    assert set(loaded(copied(source, tiff=False)[0])) == {0x010F, 0x0110, 0x0112, 0x8769}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_tiffs_own_tags_stay_behind(tmp_path, suffix):
    image = Image.new("RGB", (8, 8))
    image.save(tmp_path / "a.tif", exif=shot({}).tobytes())
    with Image.open(tmp_path / "a.tif") as opened:
        pixels, exif = opened.convert("RGB"), read_exif(tmp_path / "a.tif")
    write_picture(tmp_path / f"b.{suffix}", np.asarray(pixels), exif)
    assert read_settings(tmp_path / f"b.{suffix}").iso == 100
    assert not set(loaded(exif)) & {256, 258, 259, 273, 277, 278, 279, 34675}


@pytest.mark.parametrize(("orientation", "swapped"), [(1, False), (3, False), (6, True), (7, True)])
@pytest.mark.parametrize("tiff", [False, True])
def test_resolutions_turn_with_the_picture(orientation, swapped, tiff):
    source = shot({})
    source[0x0112], source[282], source[283] = orientation, 300, 150
    exif = loaded(copied(source, tiff)[0])
    assert (exif[282], exif[283]) == ((150, 300) if swapped else (300, 150))
    assert exif[0x0112] == 1
