"""Tests of JPEG files with a gain map, read back by two decoders that are not edgeexpo's."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from edgeexpo.errors import OutputError, PictureError
from edgeexpo.imaging import gain_maps
from edgeexpo.imaging.gain_maps import anchored, encode_gain_map, write_gain_map
from edgeexpo.imaging.tonemap import durand
from tests.support import gain_map_decoder, icc_profiles

NITS = np.geomspace(1, 1000, 512, dtype=np.float32) / 203
"""Radiance from 1 to 1000 cd/m^2, where 203 are the white of ordinary displays."""


def ramp(kind):
    """Return a ramp of 24x512x3: grey, or with channels that rise and fall against each other."""
    channels = {"grey": [NITS] * 3, "coloured": [NITS, NITS[::-1], np.roll(NITS, 256)]}[kind]
    return np.repeat(np.stack(channels, axis=1)[None], 24, axis=0)


def shown(light):
    return np.rint(durand(light) * 255).astype(np.uint8)


def libultrahdr(data):
    imagecodecs = pytest.importorskip("imagecodecs")
    return imagecodecs.ultrahdr_decode(data)[..., :3].astype(float)


DECODERS = {
    "iso": lambda data: gain_map_decoder.radiance(data, "iso"),
    "xmp": lambda data: gain_map_decoder.radiance(data, "xmp"),
    "libultrahdr": libultrahdr,
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ["grey", "coloured"])
def test_radiance_comes_back_within_a_tenth_of_a_stop(kind, decoder):
    light = ramp(kind)
    found = DECODERS[decoder](encode_gain_map(shown(light), light))
    assert np.abs(np.log2(np.maximum(found, 1e-6) / light)).max() < (
        0.03 if kind == "grey" else 0.1
    )


def test_a_grey_ramp_has_no_bands():
    """Let no step between neighbours be a fortieth of a stop more or less than it was."""
    light = ramp("grey")
    found = gain_map_decoder.radiance(encode_gain_map(shown(light), light)).mean(axis=0)
    steps = np.diff(np.log2(found), axis=0) - np.diff(np.log2(light[0]), axis=0)
    assert np.abs(steps).max() < 1 / 40


def test_the_picture_itself_is_the_base():
    light = ramp("coloured")
    picture = shown(light)
    with Image.open(io.BytesIO(encode_gain_map(picture, light))) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image, int) - picture).mean() < 2


def test_a_display_without_headroom_shows_the_base():
    light = ramp("grey")
    data = encode_gain_map(shown(light), light)
    with Image.open(io.BytesIO(data)) as image:
        codes = np.asarray(image) / 255
    found = gain_map_decoder.radiance(data, headroom=0)
    np.testing.assert_allclose(found, icc_profiles.srgb_decoded(codes), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    level=st.floats(-10, 6),
)
def test_any_size_and_level_come_back(seed, size, level):
    """Compare smooth pictures; the error of a code is a share of the gains' range."""
    rng = np.random.default_rng(seed)
    light = np.full((*size, 3), 2.0**level, np.float32) * np.float32(rng.uniform(0.5, 1, 3))
    base = np.full((*size, 3), rng.integers(0, 256), np.uint8)
    found = gain_map_decoder.radiance(encode_gain_map(base, light))
    wanted = np.minimum(light, gain_maps.BRIGHTEST)
    offset = gain_maps.OFFSET
    assert np.abs(np.log2((found + offset) / (wanted + offset))).max() < 0.02


@pytest.mark.parametrize("profile", [None, icc_profiles.profile()], ids=["srgb", "p3"])
def test_the_base_states_its_colours_and_keeps_its_exif_data(tmp_path, profile):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    light = ramp("grey")
    path = tmp_path / "a.jpg"
    write_gain_map(path, shown(light), light, exif.tobytes(), profile)
    with Image.open(path) as image:
        assert image.getexif()[0x010F] == "maker"
        held = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    name = (held.profile.profile_description or "").strip()
    assert name == ("sRGB built-in" if profile is None else "Display P3")
    found = gain_map_decoder.radiance(path.read_bytes())
    assert np.abs(np.log2(found / light)).max() < 0.03


def test_black_and_the_brightest_light_are_kept():
    light = np.zeros((16, 32, 3), np.float32)
    light[:, 16:] = 1e6
    base = np.zeros((16, 32, 3), np.uint8)
    base[:, 16:] = 255
    found = gain_map_decoder.radiance(encode_gain_map(base, light))
    assert found[:, :16].max() < 1e-3
    np.testing.assert_allclose(found[:, 16:], gain_maps.BRIGHTEST, rtol=0.05)


def test_radiance_is_anchored_where_the_picture_is_well_exposed():
    light = ramp("grey") * 7
    codes = np.rint(icc_profiles.srgb_encoded(ramp("grey")) * 255).astype(np.uint8)
    np.testing.assert_allclose(anchored(light, codes), ramp("grey"), rtol=0.02)
    deep = np.rint(icc_profiles.srgb_encoded(ramp("grey")) * 65535).astype(np.uint16)
    np.testing.assert_allclose(anchored(light, deep), ramp("grey"), rtol=0.001)


@pytest.mark.parametrize("code", [1, 255])
def test_a_picture_without_middle_tones_anchors_too(code):
    light = np.full((4, 4, 3), 5, np.float32)
    picture = np.full((4, 4, 3), code, np.uint8)
    wanted = icc_profiles.srgb_decoded(code / 255)
    np.testing.assert_allclose(anchored(light, picture), wanted, rtol=1e-4)
    np.testing.assert_array_equal(anchored(light, np.zeros_like(picture)), light)
    np.testing.assert_array_equal(anchored(light * 0, picture), light * 0)


@pytest.mark.parametrize(
    ("base", "light", "words"),
    [
        (np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 3)), "JPEG holds 8 bits a channel"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4)), "4x4 uint8"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3)), "4x5x3; expected 4x4x3"),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), -1.0), "negative"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, base, light, words):
    with pytest.raises(PictureError, match=words):
        write_gain_map(tmp_path / "a.jpg", base, light)
    assert not list(tmp_path.iterdir())


def test_other_suffixes_and_folders_are_refused(tmp_path):
    light = ramp("grey")
    with pytest.raises(PictureError, match=r"expected \.jpg or \.jpeg"):
        write_gain_map(tmp_path / "a.png", shown(light), light)
    with pytest.raises(OutputError):
        write_gain_map(tmp_path / "none" / "a.jpg", shown(light), light)
