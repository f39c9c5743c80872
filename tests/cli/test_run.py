"""Tests of ``edgeexpo run`` with a real engine and a network of one convolution."""

from __future__ import annotations

import dataclasses
import json
import sys
import types

import numpy as np
import pytest
from PIL import Image

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.cli import main
from edgeexpo.imaging.files import read_p3_profile, read_picture, write_picture
from edgeexpo.runtime import FakeEngine
from edgeexpo.spec import TensorSpec
from tests.support import icc_profiles
from tests.support.tiny_bundle import write_bundle


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a folder with a bundle ``b`` and a bracket ``dark.png``, ``bright.png`` of 45x70."""
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "b")
    for name, scale in (("dark", 60), ("bright", 200)):
        write_picture(tmp_path / f"{name}.png", bracket(scale))
    return tmp_path


def bracket(scale, kind=np.uint8):
    rows, columns = np.mgrid[0:45, 0:70] / 70
    return (np.stack([rows, columns, 1 - columns], axis=2) * scale).astype(kind)


def fails(capsys, *argv):
    """Run a command that fails and return its exit code and the one line on stderr."""
    code = main(["run", *argv])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return code, err


def test_a_bracket_gives_a_picture_of_its_size(place, capsys):
    assert main(["run", "b", "dark.png", "bright.png", "-o", "out.png", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document.pop("seconds") >= 0
    assert document == {
        "output": "out.png",
        "width": 70,
        "height": 45,
        "profile": "sRGB",
        "target": "onnx",
        "precision": "fp32",
        "status": "verified",
        "engine": "onnxruntime",
        "ev": None,
        "inputs": ["dark.png", "bright.png"],
    }
    found = read_picture("out.png")
    assert found.shape == (45, 70, 3)
    assert bracket(60).mean() < found.mean() < bracket(200).mean()


def test_16_bits_come_out_as_they_went_in(place, capsys):
    for name, scale in (("dark", 15000), ("bright", 52000)):
        write_picture(f"{name}.tif", bracket(scale, np.uint16))
    arguments = ["run", "b", "dark.tif", "bright.tif", "--ev", "2"]
    assert main([*arguments, "-o", "out.png"]) == 0
    assert read_picture("out.png").dtype == np.uint16
    assert "out.png: 70x45" in capsys.readouterr().out
    code, err = fails(capsys, *arguments[1:], "-o", "out.jpg")
    assert code == 2
    assert "8 bits a channel" in err


@pytest.mark.parametrize(("kind", "suffix"), [(np.uint8, "tif"), (np.uint16, "png")])
def test_display_p3_stays_on_request(place, capsys, kind, suffix):
    """Compare the codes with those of pictures without a profile.

    They are equal when the pictures stay in Display P3, and differ after a conversion to sRGB.
    """
    top, profile = np.iinfo(kind).max, icc_profiles.profile()
    for name, scale in (("dark", 0.25), ("bright", 0.8)):
        codes = bracket(scale * top, kind)
        write_picture(f"{name}.{suffix}", codes)
        write_picture(f"{name}-p3.{suffix}", codes, profile=profile)
    assert main(["run", "b", f"dark.{suffix}", f"bright.{suffix}", "-o", f"plain.{suffix}"]) == 0
    wide = ["run", "b", f"dark-p3.{suffix}", f"bright-p3.{suffix}", "--json"]
    capsys.readouterr()
    assert main([*wide, "--keep-p3", "-o", f"kept.{suffix}"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"] == "Display P3"
    plain, kept = read_picture(f"plain.{suffix}"), read_picture(f"kept.{suffix}", keep_p3=True)
    assert read_p3_profile(f"kept.{suffix}") == profile
    np.testing.assert_array_equal(kept, plain)
    if kind == np.uint8:
        assert main([*wide, "-o", f"converted.{suffix}"]) == 0
        assert json.loads(capsys.readouterr().out)["profile"] == "sRGB"
        difference = np.abs(read_picture(f"converted.{suffix}").astype(int) - plain)
        assert difference.max() > 20


def test_frames_of_two_profiles_are_refused(place, capsys):
    write_picture("dark.png", bracket(60), profile=icc_profiles.profile())
    code, err = fails(capsys, "b", "dark.png", "bright.png", "--keep-p3", "-o", "out.png")
    assert code == 2
    assert "dark.png is in Display P3, bright.png is not" in err
    assert main(["run", "b", "dark.png", "bright.png", "-o", "out.png"]) == 0


def test_other_profiles_are_converted_even_then(place, capsys):
    adobe = icc_profiles.profile(icc_profiles.ADOBE, gamma=563 / 256)
    for name, scale in (("dark", 60), ("bright", 200)):
        write_picture(f"{name}.png", bracket(scale), profile=adobe)
    arguments = ["run", "b", "dark.png", "bright.png", "--json"]
    assert main([*arguments, "-o", "srgb.png"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--keep-p3", "-o", "kept.png"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"] == "sRGB"
    np.testing.assert_array_equal(read_picture("kept.png"), read_picture("srgb.png"))


def test_no_fuse_writes_the_networks_output(place):
    base = ["run", "b", "dark.png", "bright.png", "--ev", "2", "-o"]
    assert main([*base, "fused.png"]) == main([*base, "plain.png", "--no-fuse"]) == 0
    assert not np.array_equal(read_picture("fused.png"), read_picture("plain.png"))


def test_pictures_are_put_in_order_with_a_note(place, capsys):
    base = ["run", "b", "-o", "out.png", "--json", "--force"]
    assert main([*base, "dark.png", "bright.png"]) == 0
    ordered = read_picture("out.png")
    capsys.readouterr()
    assert main([*base, "bright.png", "dark.png"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["inputs"] == ["dark.png", "bright.png"]
    assert "in order of their mean luminance: dark.png, bright.png" in err
    np.testing.assert_array_equal(read_picture("out.png"), ordered)


def test_exif_decides_the_order_and_the_ev(place, capsys):
    for name, seconds, scale in (("long", 0.16, 60), ("short", 0.01, 200)):
        exif = Image.Exif()
        exif[0x8769] = {33434: seconds, 33437: 8.0, 34855: 100}
        Image.fromarray(bracket(scale)).save(f"{name}.png", exif=exif)
    base = ["run", "b", "long.png", "short.png", "-o", "out.png", "--json", "--force"]
    assert main(base) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["inputs"] == ["short.png", "long.png"]
    assert json.loads(out)["ev"] == pytest.approx(4, abs=0.01)
    assert "EXIF exposure" in err
    assert main([*base, "--ev", "3.5"]) == 0
    assert json.loads(capsys.readouterr().out)["ev"] == 3.5


def test_a_memory_budget_changes_no_pixel(place, capsys):
    assert main(["run", "b", "dark.png", "bright.png", "-o", "whole.png"]) == 0
    budget = ["--memory-mb", "32"]
    assert main(["run", "b", "dark.png", "bright.png", "-o", "windows.png", *budget]) == 0
    found, expected = (read_picture(place / f"{n}.png") for n in ("windows", "whole"))
    np.testing.assert_array_equal(found, expected)
    capsys.readouterr()
    code, err = fails(capsys, "b", "dark.png", "bright.png", "-o", "x.png", "--memory-mb", "8")
    assert code == 2
    assert "memory_mb is 8; expected at least 32" in err


def test_an_existing_output_needs_force(place, capsys):
    (place / "out.png").write_bytes(b"mine")
    arguments = ["b", "dark.png", "bright.png", "-o", "out.png"]
    code, err = fails(capsys, *arguments)
    assert code == 2
    assert "out.png exists; use --force" in err
    assert (place / "out.png").read_bytes() == b"mine"
    assert main(["run", *arguments, "--force"]) == 0
    assert read_picture("out.png").shape == (45, 70, 3)


def test_an_input_is_never_overwritten(place, capsys):
    code, err = fails(capsys, "b", "dark.png", "bright.png", "-o", "dark.png", "--force")
    assert code == 2
    assert "is an input" in err
    np.testing.assert_array_equal(read_picture("dark.png"), bracket(60))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["b", "dark.png"], 2, "1 pictures were given; mean takes 2 (under, over)"),
        (["b", "dark.png", "bright.png", "dark.png"], 2, "take the darkest and the brightest"),
        (["b", "dark.png", "none.png"], 2, "No such file"),
        (["none", "dark.png", "bright.png"], 2, "no bundle at none"),
        ([".", "dark.png", "bright.png"], 2, "is not a bundle"),
        (["b", "dark.png", "bright.png", "--target", "coreml"], 2, "has no coreml artefact"),
        (["b", "dark.png", "bright.png", "--target", "onx"], 2, "did you mean 'onnx'?"),
        (["b", "dark.png", "bright.png", "--precision", "int8"], 2, "it has: onnx fp32"),
        (["b", "dark.png", "bright.png", "--ev", "-2"], 2, "expected an EV above zero"),
        (["b", "dark.png", "bright.png", "--ev", "nan"], 2, "expected an EV above zero"),
        (["b", "dark.png", "bright.png", "-o", "out.heic"], 2, "suffix '.heic'"),
        (["b", "dark.png", "bright.png", "-o", "b"], 2, "of no format"),
        (["b", "dark.png", "bright.png", "-o", "none/out.png"], 1, "no folder none"),
    ],
)
def test_bad_requests_are_one_line(place, capsys, arguments, code, words):
    output = [] if "-o" in arguments else ["-o", "out.png"]
    found, err = fails(capsys, *arguments, *output)
    assert found == code
    assert words in err
    assert not (place / "out.png").exists()


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("RGB", (71, 45)), "expected pictures of one size"),
        (Image.new("F", (70, 45)), "expected 8 or 16 bits a channel of RGB, grey or CMYK"),
        (Image.new("LAB", (70, 45)), "is 45x70 and LAB"),
    ],
)
def test_bad_pictures_are_one_line(place, capsys, picture, words):
    picture.save("bad.tif")
    code, err = fails(capsys, "b", "dark.png", "bad.tif", "-o", "out.png")
    assert code == 2
    assert words in err
    assert not (place / "out.png").exists()


def test_one_pixel_is_refused(place, capsys):
    Image.new("RGB", (1, 1)).save("one.png")
    code, err = fails(capsys, "b", "one.png", "one.png", "-o", "out.png")
    assert code == 2
    assert "at least 16x16" in err


def test_truncated_and_text_files_are_refused(place, capsys):
    (place / "cut.png").write_bytes((place / "dark.png").read_bytes()[:100])
    (place / "text.jpg").write_text("no picture")
    for name, words in (("cut.png", "damaged"), ("text.jpg", "is not a picture")):
        code, err = fails(capsys, "b", "dark.png", name, "-o", "out.png")
        assert code == 2
        assert words in err


def test_a_changed_byte_in_the_bundle_is_refused(place, capsys):
    file = place / "b" / "mean.fp32.onnx"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    code, err = fails(capsys, "b", "dark.png", "bright.png", "-o", "out.png")
    assert code == 2
    assert "was changed after the export" in err


def test_an_output_that_is_no_picture_is_refused(place, capsys):
    write_bundle(place / "depth", outputs=(TensorSpec("y_hat", color="none"),), back=None)
    code, err = fails(capsys, "depth", "dark.png", "bright.png", "-o", "out.png")
    assert code == 2
    assert "no sRGB picture" in err


def test_luma_alone_is_refused_and_the_picture_around_it_is_not(place, capsys):
    write_bundle(place / "y", outputs=(TensorSpec("y_hat", color="Y"),))
    code, err = fails(capsys, "y", "dark.png", "bright.png", "-o", "out.png", "--no-fuse")
    assert code == 2
    assert "no sRGB picture" in err
    assert main(["run", "y", "dark.png", "bright.png", "-o", "out.png"]) == 0


@pytest.fixture
def coreml_bundle(place):
    """Make a bundle in which the same artefact is declared as one of Core ML."""
    bundle = Bundle.open(place / "b")
    artifact = dataclasses.replace(bundle.manifest.artifacts[0], target="coreml")
    write_manifest(place / "b", dataclasses.replace(bundle.manifest, artifacts=(artifact,)))
    return place / "b"


def test_core_ml_is_interpreted_off_macos(coreml_bundle, monkeypatch, capsys):
    stand_in = types.ModuleType("edgeexpo.mil.interpreter")
    stand_in.MilEngine = lambda *_: FakeEngine(lambda x: {"y_hat": x["y0"]}, "mil-interpreter")
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["run", "b", "dark.png", "bright.png", "-o", "out.png", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["engine"] == "mil-interpreter"
    assert "Core ML artefact runs in the MIL interpreter here" in err


def test_without_the_interpreter_the_extra_is_named(coreml_bundle, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "edgeexpo.mil.interpreter", None)
    monkeypatch.setattr(sys, "platform", "linux")
    code, err = fails(capsys, "b", "dark.png", "bright.png", "-o", "out.png")
    assert code == 4
    assert "pip install 'edgeexpo[export]'" in err


def test_verbose_says_which_engine_is_taken_and_why(place, capsys, monkeypatch):
    monkeypatch.setenv("EDGEEXPO_CACHE", str(place / "cache"))
    command = ["run", "b", "dark.png", "bright.png", "-o", "out.png", "--verbose"]
    assert main(command) == 0
    err = capsys.readouterr().err
    assert "no remembered times; the fixed order of engines decides" in err
    assert "in onnxruntime: " in err
    assert main([*command, "--force", "--engine", "openvino"]) == 0
    assert " in openvino" in capsys.readouterr().out
