"""Tests of the grouping of shots into brackets by EXIF data, and of keeping EXIF data."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeexpo.errors import UsageError
from edgeexpo.imaging.brackets import brackets, left_out, names_are_unique, spread_indices
from edgeexpo.imaging.files import read_exif, read_picture, read_time, write_picture

NOON = datetime.datetime(2024, 5, 4, 12, 0, 0)


def shoot(path, seconds, exposure, side=8):
    """Write a picture taken ``seconds`` after noon, exposed ``exposure`` EV above 1/64 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = NOON + datetime.timedelta(seconds=seconds)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    exif[0x8769] = {
        36867: time.strftime("%Y:%m:%d %H:%M:%S"),
        37521: f"{time.microsecond // 10000:02d}",
        33434: 2.0**exposure / 64,
        33437: 8.0,
        34855: 100,
    }
    Image.new("RGB", (side, side)).save(path, exif=exif)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(2, 5), min_size=1, max_size=4), pauses=st.booleans())
def test_brackets_are_told_apart_by_pauses_or_by_exposures(tmp_path_factory, sizes, pauses):
    folder = tmp_path_factory.mktemp("shots")
    clock, expected, number = 0.0, [], 0
    for size in sizes:
        names = []
        for step in range(size):
            # Names are in reverse order, because time must decide.
            name = f"p{99 - number}.jpg"
            shoot(folder / name, clock, step)
            names.append(name)
            clock += 0.5
            number += 1
        clock += 10 if pauses else 0
        expected.append(names)
    found = brackets(folder)
    assert [[f.name for f in shots.files] for shots in found] == expected
    assert [shots.name for shots in found] == [names[0].removesuffix(".jpg") for names in expected]


def test_fractions_of_seconds_count(tmp_path):
    shoot(tmp_path / "a.jpg", 0.75, 0)
    assert read_time(tmp_path / "a.jpg") == NOON + datetime.timedelta(seconds=0.75)


def test_sub_folders_are_brackets_and_need_no_exif(tmp_path):
    for name in ("one/a.png", "one/b.png", "one/reference.png", "two/a.png", "three/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path) if path.suffix == ".png" else path.write_text("")
    found = brackets(tmp_path)
    assert [(shots.name, [f.name for f in shots.files]) for shots in found] == [
        ("one", ["a.png", "b.png"])
    ]


def test_what_is_no_bracket_is_said(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        brackets(tmp_path / "none")
    with pytest.raises(UsageError, match="has no bracket; expected sub-folders"):
        brackets(tmp_path)
    shoot(tmp_path / "a.jpg", 0, 0)
    with pytest.raises(UsageError, match="has no bracket"):
        brackets(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg")
    with pytest.raises(UsageError, match=r"no EXIF time.*sub-folder of its own"):
        brackets(tmp_path)


def test_two_pictures_of_one_name_are_refused(tmp_path):
    for exposure, name in enumerate(("a/x.jpg", "a/y.jpg", "a.jpg", "b.jpg")):
        shoot(tmp_path / name, exposure, exposure)
    found = brackets(tmp_path)
    with pytest.raises(UsageError, match="two brackets are called 'a'"):
        names_are_unique(found)
    names_are_unique(found[:1])


@given(count=st.integers(1, 9), wanted=st.integers(1, 4))
def test_chosen_frames_are_spread(count, wanted):
    found = spread_indices(count, wanted)
    assert len(found) == wanted
    assert found == sorted(found)
    if wanted > 1:
        assert (found[0], found[-1]) == (0, count - 1)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_is_kept_and_the_picture_is_upright(tmp_path, name):
    shoot(tmp_path / "shot.jpg", 0.25, 2)
    path = tmp_path / name
    write_picture(path, np.full((8, 6, 3), 90, np.uint8), read_exif(tmp_path / "shot.jpg"))
    with Image.open(path) as image:
        exif = image.getexif()
        assert exif[0x0112] == 1
        assert exif[0x010F] == "maker"
        assert exif.get_ifd(0x8769)[33437] == 8.0
        assert "srgb" in image.info["icc_profile"].decode("latin-1").lower().replace("\0", "")
    assert read_time(path) == NOON + datetime.timedelta(seconds=0.25)
    assert read_picture(path).shape == (8, 6, 3)


def test_exif_is_kept_in_16_bits(tmp_path):
    shoot(tmp_path / "shot.jpg", 0, 2)
    path = tmp_path / "deep.png"
    write_picture(path, np.full((8, 6, 3), 900, np.uint16), read_exif(tmp_path / "shot.jpg"))
    assert read_time(path) == NOON
    assert (read_picture(path) == 900).all()


def test_a_picture_without_exif_stays_without(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert read_exif(tmp_path / "plain.png") is None


@settings(max_examples=15, deadline=None)
@given(
    times=st.lists(st.floats(1, 60), min_size=2, max_size=4, unique_by=lambda t: round(np.log2(t))),
    sets=st.integers(1, 3),
    gap=st.floats(0, 1),
)
def test_long_exposures_are_no_pauses(tmp_path_factory, times, sets, gap):
    folder, clock = tmp_path_factory.mktemp("night"), 0.0
    times = [2.0 ** round(np.log2(t)) for t in times]
    for number in range(sets * len(times)):
        time = times[number % len(times)]
        shoot(folder / f"{number}.jpg", clock, np.log2(64 * time))
        last = (number + 1) % len(times) == 0
        clock += time + (20 if last else gap)
    assert [len(shots.files) for shots in brackets(folder)] == [len(times)] * sets


@settings(max_examples=15, deadline=None)
@given(evs=st.permutations([-2, 0, 2]), rate=st.integers(1, 12), sets=st.integers(2, 4))
def test_shots_of_one_second_are_ordered_by_name(tmp_path_factory, evs, rate, sets):
    folder = tmp_path_factory.mktemp("burst")
    for number in range(3 * sets):
        # Times are cut to whole seconds, and names have no leading zeros.
        shoot(folder / f"IMG_{number + 8}.jpg", number // rate, evs[number % 3])
    names = [[f.name for f in shots.files] for shots in brackets(folder)]
    numbers = range(8, 8 + 3 * sets)
    assert names == [[f"IMG_{n}.jpg" for n in numbers[i : i + 3]] for i in range(0, 3 * sets, 3)]


def test_pictures_of_no_bracket_are_listed(tmp_path):
    for name, seconds, exposure in (("a", 0, 0), ("b", 1, 2), ("c", 60, 0)):
        shoot(tmp_path / f"{name}.jpg", seconds, exposure)
    for name in ("sub/one.png", "sub/reference.png"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    found = brackets(tmp_path)
    assert left_out(tmp_path, found) == [tmp_path / "sub/one.png", tmp_path / "c.jpg"]
