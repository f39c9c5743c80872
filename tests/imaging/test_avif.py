"""Tests of AVIF files with 10 bits a channel, and with 8."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.imaging import avif
from edgeexpo.imaging.files import check_output, read_bits, read_exif, read_picture, write_picture
from tests.support import icc_profiles
from tests.support.films import scene

imagecodecs = pytest.importorskip("imagecodecs")

RAMP = np.repeat(np.linspace(0, 65535, 1024).astype(np.uint16)[None, :, None], 16, 0).repeat(3, 2)


def test_a_ramp_of_10_bits_comes_back_within_a_code(tmp_path):
    write_picture(tmp_path / "a.avif", RAMP)
    found = imagecodecs.avif_decode((tmp_path / "a.avif").read_bytes())
    assert found.dtype == np.uint16
    assert np.abs(found - RAMP / 65535 * 1023).max() < 1.6
    assert len(np.unique(found[8, :, 1])) > 900
    assert read_bits(tmp_path / "a.avif") == (10, 8)


@pytest.mark.parametrize(("profile", "primaries"), [(None, 1), (icc_profiles.profile(), 12)])
def test_10_bits_state_their_colours(tmp_path, profile, primaries):
    write_picture(tmp_path / "a.avif", RAMP, profile=profile)
    codes = b"colrnclx" + bytes([0, primaries, 0, 13, 0, 1, 0x80])
    assert codes in (tmp_path / "a.avif").read_bytes()
    codes = read_picture(tmp_path / "a.avif", keep_p3=True)
    assert np.abs(codes - RAMP / 257.0).max() < 2


def test_8_bits_keep_exif_data_and_profile(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    profile = icc_profiles.profile()
    write_picture(tmp_path / "a.avif", scene(0), exif.tobytes(), profile)
    found = read_picture(tmp_path / "a.avif", keep_p3=True)
    assert np.abs(found.astype(int) - scene(0)).max() <= 6
    with Image.open(tmp_path / "a.avif") as image:
        assert image.info["icc_profile"] == profile
    kept = Image.Exif()
    kept.load(read_exif(tmp_path / "a.avif"))
    assert kept[0x010F] == "maker"


def test_white_has_the_luminance_that_is_asked():
    light = np.ones((16, 16, 3), np.float32)
    for nits, code in ((203, 0.58069), (1000, 0.75183)):
        found = imagecodecs.avif_decode(avif.encode_radiance(light, nits))
        assert np.abs(found / 1023 - code).max() < 2 / 1023


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[photo\]"):
        check_output(tmp_path / "a.avif", np.dtype(np.uint16))
    check_output(tmp_path / "a.avif", np.dtype(np.uint8))
    with pytest.raises(PictureError, match=r"\.avif"):
        check_output(tmp_path / "a.gif")
