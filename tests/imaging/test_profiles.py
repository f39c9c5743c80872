"""Tests of the recognition of sRGB and Display P3, and of pictures that stay in Display P3."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from edgeexpo.errors import PictureError
from edgeexpo.imaging import profiles
from edgeexpo.imaging.files import read_p3_profile, read_picture, write_picture
from tests.support import icc_profiles
from tests.support.icc_profiles import ADOBE, BT2020, DCI_WHITE, P3, SRGB

HERE = Path("p.png")


def colours(kind=np.uint8):
    """Return an HxWx3 picture of 17^3 colours from all of the RGB cube."""
    steps = np.linspace(0, 1, 17)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(17, -1, 3)
    return np.rint(cube * np.iinfo(kind).max).astype(kind)


def converted(picture, profile):
    """Convert a picture from a profile to sRGB with Little CMS itself."""
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    done = ImageCms.profileToProfile(
        Image.fromarray(picture), own, srgb, renderingIntent=intent, outputMode="RGB"
    )
    return np.asarray(done)


def saved(path, picture, profile):
    Image.fromarray(picture).save(path, icc_profile=profile)
    return path


@pytest.mark.parametrize("version", [2, 4])
def test_the_tests_own_profile_means_display_p3(version):
    """Compare Little CMS with the matrices of the chromaticities, within two codes of 255."""
    matrix = np.linalg.inv(icc_profiles.to_xyz(SRGB)) @ icc_profiles.to_xyz(P3)
    linear = icc_profiles.srgb_decoded(colours() / 255) @ matrix.T
    expected = icc_profiles.srgb_encoded(linear) * 255
    found = converted(colours(), icc_profiles.profile(version=version))
    # Colours outside sRGB are clipped.
    assert np.abs(found - expected).max() <= 2
    assert np.abs(found - colours().astype(float)).max() > 40


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("name", ["Display P3", "Display P3 Gamut with sRGB Transfer", "mine"])
def test_display_p3_is_known_by_its_numbers(version, name):
    profile = icc_profiles.profile(version=version, name=name)
    assert profiles.is_display_p3(HERE, profile)
    assert profiles.name(HERE, profile) == name


@pytest.mark.parametrize(
    "other",
    [
        {"primaries": SRGB},
        {"primaries": ADOBE, "gamma": 563 / 256},
        {"primaries": BT2020},
        {"gamma": 2.6},
        {"gamma": 2.2},
        {"white": DCI_WHITE, "gamma": 2.6},
    ],
)
def test_other_spaces_are_not_display_p3_whatever_their_name(other):
    assert not profiles.is_display_p3(HERE, icc_profiles.profile(**other))


def test_profiles_of_other_models_are_not_display_p3():
    for name in ("LAB", "XYZ"):
        made = ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
        assert not profiles.is_display_p3(HERE, made)


@pytest.mark.parametrize("version", [2, 4])
def test_srgb_under_any_name_is_left_alone(tmp_path, version):
    profile = icc_profiles.profile(SRGB, version=version, name="mine")
    saved(tmp_path / "p.png", colours(), profile)
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png"), colours())


def test_a_name_with_srgb_in_it_does_not_hide_wide_colours(tmp_path):
    """Check a name that Android's cameras give Display P3."""
    profile = icc_profiles.profile(name="Display P3 Gamut with sRGB Transfer")
    saved(tmp_path / "p.png", colours(), profile)
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png"), converted(colours(), profile))


@pytest.mark.parametrize("name", ["p.png", "p.tif", "p.jpg", "p.webp"])
def test_pictures_stay_in_display_p3_on_request(tmp_path, name):
    profile = icc_profiles.profile()
    source = saved(tmp_path / name, colours(), profile)
    assert read_p3_profile(source) == profile
    with Image.open(source) as image:
        stored = np.asarray(image.convert("RGB"))
    kept = read_picture(source, keep_p3=True)
    np.testing.assert_array_equal(kept, stored)
    np.testing.assert_array_equal(read_picture(source), converted(stored, profile))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_the_written_picture_means_the_same_colours(tmp_path, suffix):
    """Check that Little CMS converts the written file and the picture to equal colours.

    JPEG may lose about one code.
    """
    profile = icc_profiles.profile()
    rows, columns = np.mgrid[0:48, 0:64] / 64
    picture = np.rint(np.stack([rows, columns, 1 - columns], axis=2) * 255).astype(np.uint8)
    path = tmp_path / f"out{suffix}"
    write_picture(path, picture, profile=profile)
    assert read_p3_profile(path) == profile
    with Image.open(path) as image:
        found = converted(np.asarray(image), image.info["icc_profile"]).astype(float)
    difference = np.abs(found - converted(picture, profile))
    assert difference.mean() <= 1.5 if suffix == ".jpg" else difference.max() == 0


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("extra", [0, 1])
def test_16_bits_in_display_p3(tmp_path, suffix, extra):
    """Check that codes and profile are kept exactly on request, and refused otherwise.

    The profile has an even or an odd length.
    """
    picture, profile = colours(np.uint16), icc_profiles.profile() + bytes(extra)
    profile = struct.pack(">I", len(profile)) + profile[4:]
    path = tmp_path / f"p{suffix}"
    write_picture(path, picture, profile=profile)
    with Image.open(path) as image:
        assert image.info["icc_profile"] == profile
    np.testing.assert_array_equal(cv2.imread(str(path), -1)[:, :, ::-1], picture)
    np.testing.assert_array_equal(read_picture(path, keep_p3=True), picture)
    with pytest.raises(PictureError, match=r"'Display P3'; expected sRGB: .* or keep Display P3"):
        read_picture(path)


def test_what_is_not_display_p3_is_converted_even_then(tmp_path):
    profile = icc_profiles.profile(ADOBE, gamma=563 / 256, name="Adobe RGB (1998)")
    path = saved(tmp_path / "p.png", colours(), profile)
    assert read_p3_profile(path) is None
    expected = converted(colours(), profile)
    np.testing.assert_array_equal(read_picture(path, keep_p3=True), expected)
    saved(path, colours(), None)
    assert read_p3_profile(path) is None
    np.testing.assert_array_equal(read_picture(path, keep_p3=True), colours())


@pytest.mark.parametrize("cut", [40, 127, 140, 200, 260, 300, 400, 480, 499])
@pytest.mark.parametrize("keep", [False, True])
def test_a_truncated_profile_is_refused(tmp_path, cut, keep):
    path = saved(tmp_path / "p.png", colours(), icc_profiles.profile()[:cut])
    with pytest.raises(PictureError, match=r"profile that (cannot be read|does not fit)"):
        read_picture(path, keep_p3=keep)
