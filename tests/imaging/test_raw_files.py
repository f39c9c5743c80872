"""Tests of RAW files, with DNG files of a camera whose colours are those of linear sRGB."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.imaging.files import (
    read_exif,
    read_exposure,
    read_extras,
    read_orientation,
    read_picture,
)
from tests.support.dng import dng
from tests.support.icc_profiles import srgb_encoded

rawpy = pytest.importorskip("rawpy")


def light(top=0.9):
    ramp = np.linspace(0.02, top, 96)[None, :, None] * np.array([1, 0.6, 0.3])
    return np.repeat(ramp, 64, axis=0)


def wanted(linear):
    return srgb_encoded(linear) * 65535


@pytest.mark.parametrize("top", [0.9, 0.2])
def test_a_dng_is_developed_without_a_change_of_exposure(tmp_path, top):
    (tmp_path / "a.dng").write_bytes(dng(light(top)))
    found = read_picture(tmp_path / "a.dng")
    assert found.dtype == np.uint16
    inside = slice(8, -8)
    error = np.abs(found - wanted(light(top)))[inside, inside]
    assert error.max() < 65535 * 0.005


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_it_is_turned_once(tmp_path, orientation):
    (tmp_path / "a.dng").write_bytes(dng(light(), orientation))
    (tmp_path / "b.dng").write_bytes(dng(light()))
    assert read_orientation(tmp_path / "a.dng") == 1
    quarters = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    plain = read_picture(tmp_path / "b.dng")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.dng"), np.rot90(plain, quarters))


def test_its_exif_data_are_kept(tmp_path):
    (tmp_path / "a.dng").write_bytes(dng(light(), orientation=6))
    assert read_exposure(tmp_path / "a.dng") == pytest.approx(np.log2(1 / 60 / 64))
    kept = Image.Exif()
    kept.load(read_exif(tmp_path / "a.dng"))
    assert dict(kept) | {34665: 0} == {271: "maker", 272: "model", 34665: 0}
    assert read_extras(tmp_path / "a.dng") == []


def test_a_dng_is_recognised_by_content(tmp_path):
    (tmp_path / "a.tif").write_bytes(dng(light()))
    assert read_picture(tmp_path / "a.tif").dtype == np.uint16


def test_exposure_of_other_formats_comes_from_libraw(tmp_path, monkeypatch):
    """Let the file have no header of a TIFF file for edgeexpo, and be whole for LibRaw."""
    whole = dng(light())
    imread = rawpy.imread
    monkeypatch.setattr(rawpy, "imread", lambda stream: imread(type(stream)(whole)))
    (tmp_path / "a.cr3").write_bytes(b"none" + whole[4:])
    assert read_exposure(tmp_path / "a.cr3") == pytest.approx(np.log2(1 / 60 / 64))


@pytest.mark.parametrize("data", [b"", b"no raw file", dng(light())[:300]])
@pytest.mark.parametrize("suffix", ["NEF", "dng", "cr3"])
def test_what_libraw_cannot_read_is_one_line(tmp_path, data, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with pytest.raises(PictureError, match="develop it to 16-bit TIFF or PNG") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.dng").write_bytes(dng(light()))
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[raw\]"):
        read_picture(tmp_path / "a.dng")
