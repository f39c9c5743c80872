"""Tests of ``edgeexpo run --brackets`` on folders of brackets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from edgeexpo.cli import main
from edgeexpo.imaging.files import read_p3_profile, read_picture
from tests.support import icc_profiles
from tests.support.tiny_bundle import write_bundle


def scene(shift=0.0):
    """Return a photograph's linear light, 160x200, moved by ``shift`` pixels along the rows."""
    linear = (data.coffee()[::2, ::2] / 255) ** 2.2
    moved = ndimage.shift(linear, (0, shift, 0), order=1, mode="nearest")
    return moved[20:180, 50:250] / 2


def shoot(path, ev, shift=0.0, minute=0, kind=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    top = np.iinfo(kind).max
    codes = np.rint(np.clip(scene(shift) * 2.0**ev, 0, 1) ** (1 / 2.2) * top).astype(kind)
    exif = Image.Exif()
    exif[0x8769] = {
        36867: f"2024:05:04 12:{minute:02d}:00",
        33434: 2.0**ev / 64,
        33437: 8.0,
        34855: 100,
    }
    Image.fromarray(codes).save(path, exif=exif, quality=98)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "b")
    return tmp_path


def test_every_bracket_becomes_a_picture(place, capsys):
    for minute in (1, 5):
        for ev in (1.5, -1.5, 0.0):
            shoot(place / "shots" / f"{minute}{ev:+}.jpg", ev, minute=minute)
    assert main(["run", "b", "--brackets", "shots", "-o", "out", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = document["brackets"]
    assert [row["shots"] for row in rows] == [3, 3]
    assert all(row["ev"] == pytest.approx(3, abs=0.01) for row in rows)
    assert all(row["inputs"][0].endswith("-1.5.jpg") for row in rows)
    assert all(row["alignment"] > 0.9 for row in rows)
    for row in rows:
        assert read_picture(row["output"]).shape == (160, 200, 3)
        with Image.open(row["output"]) as image:
            assert image.getexif().get_ifd(0x8769)[33437] == 8.0


def test_hand_held_shots_are_aligned_first(place, capsys):
    for name, shift in (("moved", 4.0), ("still", 0.0)):
        shoot(place / "shots" / name / "1.jpg", -1.0)
        shoot(place / "shots" / name / "2.jpg", 1.0, shift)
    errors = {}
    for options in ((), ("--no-align",)):
        arguments = ["--brackets", "shots", "-o", "out", "--force", *options]
        assert main(["run", "b", *arguments]) == 0
        moved, still = (read_picture(f"out/{n}.jpg").astype(float) for n in ("moved", "still"))
        assert still.shape == (160, 200, 3)
        assert 194 <= moved.shape[1] <= (200 if options else 197)  # cropped to what all show
        errors[options] = min(
            np.abs(moved[10:140, 18 + s : 168 + s] - still[10 + r : 140 + r, 18:168]).mean()
            for s in range(-6, 7)
            for r in range(3)
        )
    assert errors[()] < 0.5 * errors["--no-align",]
    assert "moved" in capsys.readouterr().out


def test_a_damaged_bracket_is_named_and_the_others_are_done(place, capsys):
    for name in ("bad", "good"):
        for index, ev in enumerate((-1.0, 1.0)):
            shoot(place / "shots" / name / f"{index}.jpg", ev)
    (place / "shots" / "bad" / "1.jpg").write_bytes(b"nothing")
    assert main(["run", "b", "--brackets", "shots", "-o", "out", "--json"]) == 0
    out, err = capsys.readouterr()
    bad, good = json.loads(out)["brackets"]
    assert bad["output"] is None
    assert "is not a picture" in bad["error"]
    assert "bad left out" in err
    assert read_picture(good["output"]).shape == (160, 200, 3)


def test_a_bracket_keeps_display_p3_and_a_mixed_one_is_left_out(place, capsys):
    profile = icc_profiles.profile()
    for name, profiles in (("mixed", (profile, None)), ("wide", (profile, profile))):
        for index, own in enumerate(profiles):
            path = place / "shots" / name / f"{index}.jpg"
            shoot(path, index - 0.5)
            with Image.open(path) as image:
                image.save(path, exif=image.getexif(), quality=98, icc_profile=own)
    assert main(["run", "b", "--brackets", "shots", "-o", "out", "--keep-p3", "--json"]) == 0
    out, err = capsys.readouterr()
    mixed, wide = json.loads(out)["brackets"]
    assert mixed["output"] is None
    assert "mixed left out" in err
    assert "expected pictures of one profile" in err
    assert wide["profile"] == "Display P3"
    assert read_p3_profile(wide["output"]) == profile
    assert main(["run", "b", "--brackets", "shots", "-o", "all", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["brackets"]
    assert [row["profile"] for row in rows] == ["sRGB", "sRGB"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--brackets", "none", "-o", "out"], "no folder none"),
        (["--brackets", "shots", "shots", "-o", "out"], "takes one folder; found 2"),
        (["--brackets", "shots", "-o", "out", "--no-fuse"], "leave out --tonemap, --gain-map and"),
        (["--brackets", "shots", "-o", "done"], "done/one.jpg exists; use --force"),
    ],
)
def test_bad_requests_are_one_line(place, capsys, arguments, words):
    for index, ev in enumerate((-1.0, 1.0)):
        shoot(place / "shots" / "one" / f"{index}.jpg", ev)
    (place / "done").mkdir()
    (place / "done" / "one.jpg").write_bytes(b"mine")
    assert main(["run", "b", *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)
    assert (place / "done" / "one.jpg").read_bytes() == b"mine"


def test_a_network_of_one_frame_is_told(place, capsys):
    write_bundle(place / "one", frames=("picture",), front=None, back=None)
    for index, ev in enumerate((-1.0, 1.0)):
        shoot(place / "shots" / "x" / f"{index}.jpg", ev)
    assert main(["run", "one", "--brackets", "shots", "-o", "out"]) == 2
    assert "takes one picture, not a bracket" in capsys.readouterr().err


def test_single_and_turned_shots_are_named(place, capsys):
    for index, ev in enumerate((-1.0, 0.0, 1.0)):
        shoot(place / "shots" / f"{index}.jpg", ev, minute=1)
    shoot(place / "shots" / "alone.jpg", 0.0, minute=9)
    odd = place / "shots" / "1.jpg"
    with Image.open(odd) as image:
        exif = image.getexif()
        exif[0x0112] = 3
        image.save(odd, exif=exif, quality=98)
    assert main(["run", "b", "--brackets", "shots", "-o", "out", "--no-align", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [row["shots"] for row in json.loads(out)["brackets"]] == [3]
    assert "left out, as no other shot goes with it: shots/alone.jpg" in err
    assert "the EXIF orientation of shots/1.jpg (3) differs" in err


def with_square(path, place, colour):
    """Paint a square of 30 pixels into a shot, and keep its EXIF data."""
    with Image.open(path) as image:
        exif, codes = image.getexif(), np.asarray(image).copy()
    row, column = place
    codes[row : row + 30, column : column + 30] = colour
    Image.fromarray(codes).save(path, exif=exif, quality=98)


def test_what_moves_comes_from_one_shot_unless_told_otherwise(place, capsys):
    for index, ev in enumerate((-1.0, 1.0)):
        shoot(place / "shots" / "still" / f"{index}.jpg", ev)
        shoot(place / "shots" / "moving" / f"{index}.jpg", ev)
    with_square(place / "shots" / "moving" / "0.jpg", (60, 40), (10, 10, 90))
    with_square(place / "shots" / "moving" / "1.jpg", (60, 130), (20, 20, 170))
    documents = {}
    for options in ((), ("--no-deghost",)):
        arguments = ["--brackets", "shots", "-o", "out", "--force", "--no-align", "--json"]
        assert main(["run", "b", *arguments, *options]) == 0
        documents[options] = json.loads(capsys.readouterr().out)["brackets"]
        pictures = [read_picture(f"out/{name}.jpg").astype(float) for name in ("moving", "still")]
        seen = np.abs(pictures[0] - pictures[1])
        seen = [seen[64:86, column : column + 22].mean() > 10 for column in (44, 134)]
        assert seen == ([True, True] if options else [False, True])
    moving, still = documents[()]
    assert still["replaced"] == 0
    assert 0.06 < moving["replaced"] < 0.3
    assert sorted(frame["replaced"] for frame in moving["frames"]) == [0, moving["replaced"]]
    assert [frame["file"] for frame in moving["frames"]] == moving["inputs"]
    assert all(row["replaced"] is None for row in documents["--no-deghost",])


def test_a_line_says_what_was_done_to_a_shot(place, capsys):
    shoot(place / "shots" / "x" / "1.jpg", -1.0)
    shoot(place / "shots" / "x" / "2.jpg", 1.0, 4.0)
    with_square(place / "shots" / "x" / "1.jpg", (60, 40), (10, 10, 90))
    assert main(["run", "b", "--brackets", "shots", "-o", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if line.startswith("shots/x/")]
    assert len(said) >= 1
    assert "moved by 4." in "".join(said) or "moved by 3." in "".join(said)
    assert "% replaced, as it moved between the shots" in "".join(said)


def test_a_shot_that_cannot_be_aligned_is_named_with_the_reason(place, capsys):
    for index, ev in enumerate((-1.0, 1.0)):
        shoot(place / "shots" / "x" / f"{index}.jpg", ev)
    odd = place / "shots" / "x" / "0.jpg"
    with Image.open(odd) as image:
        exif = image.getexif()
    blocks = np.random.default_rng(0).integers(0, 20, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((200, 160), 0).save(odd, exif=exif, quality=98)
    assert main(["run", "b", "--brackets", "shots", "-o", "out", "--json"]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out)["brackets"]
    assert "shots/x/0.jpg is not aligned and stays as it is" in err
    assert "keypoints agree" in row["frames"][0]["left_alone"]
    assert row["frames"][1]["left_alone"] is None


def test_shots_of_one_exposure_are_named(place, capsys):
    for index in range(2):
        shoot(place / "shots" / "x" / f"{index}.jpg", 0.0)
    assert main(["run", "b", "--brackets", "shots", "-o", "out"]) == 0
    said = "shots/x/0.jpg and shots/x/1.jpg have the same exposure; expected different ones"
    assert said in capsys.readouterr().err
    assert main(["run", "b", "shots/x/0.jpg", "shots/x/1.jpg", "-o", "out.jpg"]) == 0
    assert said in capsys.readouterr().err
