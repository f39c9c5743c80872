"""Tests of ``edgeexpo run`` with networks that give radiance, and of ``--strength``."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from edgeexpo.cli import main
from edgeexpo.cli.run import TONEMAPS
from edgeexpo.errors import PictureError
from edgeexpo.imaging.files import read_picture, write_picture
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.spec import TensorSpec
from tests.support import gain_map_decoder
from tests.support.films import scene
from tests.support.tiny_bundle import write_bundle

TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.088, 0.8956]])
"""Matrix from BT.709 to BT.2020 of ITU-R BT.2087."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make three bundles and two pictures.

    The network of ``r`` gives radiance, that of ``c`` corrects, and that of ``f`` is residual.
    """
    monkeypatch.chdir(tmp_path)
    one = {"frames": ("picture",), "inputs": (TensorSpec("y0"),), "front": None, "back": None}
    radiance = (TensorSpec("y_hat", transfer="linear"),)
    write_bundle(tmp_path / "r", kind="hdr", outputs=radiance, **one)
    write_bundle(tmp_path / "c", kind="correction", **one)
    write_bundle(tmp_path / "f", residual="y0")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_picture(f"{name}.png", rng.integers(0, 255, (40, 50, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize("suffix", ["hdr", "exr"])
def test_radiance_is_written_as_radiance(place, suffix):
    assert main(["run", "r", "a.png", "-o", f"out.{suffix}"]) == 0
    found = read_radiance(place / f"out.{suffix}")
    kernel = np.pad(read_picture("a.png") / 255, ((1, 1), (1, 1), (0, 0)))
    mean = sum(kernel[i : i + 40, j : j + 50] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(found, mean, atol=1 / 128)


@pytest.mark.parametrize("operator", TONEMAPS)
def test_radiance_can_be_seen(place, operator):
    assert main(["run", "r", "a.png", "-o", "out.png", "--tonemap", operator]) == 0
    assert read_picture("out.png").std() > 5


def test_radiance_and_its_picture_go_into_one_file(place):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    write_picture("a.jpg", read_picture("a.png"), exif.tobytes())
    for output in ("out.jpg --gain-map", "plain.jpg --tonemap durand", "out.hdr"):
        assert main(["run", "r", "a.jpg", "-o", *output.split()]) == 0
    np.testing.assert_array_equal(read_picture("out.jpg"), read_picture("plain.jpg"))
    with Image.open("out.jpg") as image:
        assert image.getexif()[0x010F] == "maker"
    light = read_radiance(place / "out.hdr")
    found = gain_map_decoder.radiance((place / "out.jpg").read_bytes())
    ratio = np.log2(found / np.maximum(light, 0.02))[light.min(axis=2) > 0.1]
    assert np.abs(ratio - np.median(ratio)).max() < 0.1


def test_both_pictures_of_one_file_are_upright(place):
    """Write a shot that lies on its side, and compare with the shot that was turned before."""
    exif = Image.Exif()
    exif[0x0112] = 6
    write_picture("side.png", scene(0), exif.tobytes())
    write_picture("upright.png", np.ascontiguousarray(np.rot90(scene(0), -1)))
    for name in ("side", "upright"):
        assert main(["run", "r", f"{name}.png", "-o", f"{name}.jpg", "--gain-map"]) == 0
    np.testing.assert_array_equal(read_picture("side.jpg"), read_picture("upright.jpg"))
    files = [(place / f"{name}.jpg").read_bytes() for name in ("side", "upright")]
    light = [gain_map_decoder.radiance(file) for file in files]
    np.testing.assert_allclose(*light)
    assert light[0].shape == (64, 48, 3)


def test_an_avif_holds_radiance_for_hdr_displays(place):
    """Decode PQ by the formula of SMPTE ST 2084, and the primaries by the inverse matrix."""
    imagecodecs = pytest.importorskip("imagecodecs")
    write_picture("s.png", scene(0))
    for output in ("out.avif", "out.hdr"):
        assert main(["run", "r", "s.png", "-o", output]) == 0
    data = (place / "out.avif").read_bytes()
    assert b"colrnclx" + bytes([0, 9, 0, 16, 0, 9, 0x80]) in data
    power = (imagecodecs.avif_decode(data) / 1023) ** (32 / 2523)
    nits = 1e4 * (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (
        16384 / 2610
    )
    light = read_radiance(place / "out.hdr")
    found = nits @ np.linalg.inv(TO_2020).T
    ratio = np.log2(np.maximum(found, 1e-6) / light)[light.min(axis=2) > 0.1]
    assert np.abs(ratio - np.median(ratio)).mean() < 0.02
    with pytest.raises(PictureError, match="HDR displays"):
        read_picture("out.avif")


def test_hdr_without_its_package_fails_before_the_work(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    monkeypatch.setattr("edgeexpo.cli.run.open_session", lambda *_: pytest.fail("it worked"))
    assert main(["run", "r", "a.png", "-o", "out.avif"]) == 4
    assert "edgeexpo[photo]" in capsys.readouterr().err


def test_the_base_of_a_gain_map_is_chosen(place):
    assert main(["run", "r", "a.png", "-o", "out.jpg", "--gain-map", "--tonemap", "drago"]) == 0
    assert main(["run", "r", "a.png", "-o", "plain.jpg", "--tonemap", "drago"]) == 0
    np.testing.assert_array_equal(read_picture("out.jpg"), read_picture("plain.jpg"))


def test_tone_mapping_without_opencv_fails_before_the_work(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr("edgeexpo.cli.run.open_session", lambda *_: pytest.fail("it worked"))
    assert main(["run", "r", "a.png", "-o", "out.jpg", "--gain-map"]) == 4
    assert "edgeexpo[camera]" in capsys.readouterr().err


def test_strength_goes_from_the_picture_to_the_correction(place):
    pictures = {}
    for strength in ("0", "0.5", "1"):
        arguments = ["a.png", "-o", "out.png", "--force", "--strength", strength]
        assert main(["run", "c", *arguments]) == 0
        pictures[strength] = read_picture("out.png").astype(float)
    np.testing.assert_array_equal(pictures["0"], read_picture("a.png"))
    np.testing.assert_allclose(pictures["0.5"], (pictures["0"] + pictures["1"]) / 2, atol=1)
    assert np.abs(pictures["1"] - pictures["0"]).mean() > 10


def test_strength_scales_what_a_residual_network_adds(place):
    frames = ["f", "a.png", "b.png", "--ev", "4", "--no-fuse", "--force", "-o", "out.png"]
    pictures = []
    for strength in ("0", "0.25", "1"):
        assert main(["run", *frames, "--strength", strength]) == 0
        pictures.append(read_picture("out.png").astype(float))
    none, some, whole = pictures
    np.testing.assert_allclose(some, none + (whole - none) / 4, atol=1)
    assert np.abs(whole - none).mean() > 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["r", "a.png", "-o", "out.png"],
            "name a .hdr, .exr or .avif file, or add --tonemap",
        ),
        (["r", "a.png", "-o", "out.jpg"], "or --gain-map for both in one file"),
        (["r", "a.png", "-o", "out.png", "--gain-map"], "expected .jpg or .jpeg: name such a file"),
        (["r", "a.png", "-o", "out.exr", "--gain-map"], "--gain-map writes a JPEG"),
        (["c", "a.png", "-o", "out.jpg", "--gain-map"], "mean gives none: leave it out, or take"),
        (["r", "a.png", "-o", "out.heic"], "suffix '.heic'"),
        (["r", "a.png", "-o", "out.hdr", "--tonemap", "drago"], "not for a tone-mapped picture"),
        (["c", "a.png", "-o", "out.hdr"], "is for radiance, not for the picture of mean"),
        (["c", "a.png", "-o", "out.png", "--tonemap", "drago"], "--tonemap is for radiance"),
        (["c", "a.png", "-o", "out.png", "--strength", "2"], "expected a number from 0 to 1"),
        (["r", "a.png", "-o", "out.hdr", "--strength", "0.5"], "does not correct its input"),
        (["r", "a.png", "-o", "out.hdr", "--keep-p3"], "--keep-p3 is for pictures"),
    ],
)
def test_bad_requests_are_one_line(place, capsys, arguments, words):
    assert main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)
    assert not list(place.glob("out.*"))
