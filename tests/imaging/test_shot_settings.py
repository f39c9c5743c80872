"""Tests of the camera's settings in EXIF data, and of exposures compared by them."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.imaging.brackets import natural
from edgeexpo.imaging.shot_settings import Settings, exposures, settings_of, taken

TIMES = st.floats(1 / 8000, 60)
APERTURES = st.floats(1, 32)
ISOS = st.sampled_from([50, 100, 400, 25600])
PLAIN = {33434: 1 / 60, 33437: 4.0, 34855: 200}


@given(time=TIMES, aperture=APERTURES)
def test_apex_values_stand_in_for_plain_numbers(time, aperture):
    exif = {37377: -math.log2(time), 37378: 2 * math.log2(aperture) or 1e-9, 34855: 100}
    found = settings_of(exif)
    assert found.time == pytest.approx(time)
    assert found.aperture == pytest.approx(aperture)
    assert settings_of({**exif, 33434: 2.0, 33437: 8.0}) == Settings(2.0, 8.0, 100.0)


@given(
    shots=st.lists(st.tuples(TIMES, APERTURES, ISOS), min_size=2, max_size=5),
    aperture=st.booleans(),
    iso=st.booleans(),
)
def test_settings_that_no_shot_tells_count_as_the_same(shots, aperture, iso):
    fixed = [(t, f if aperture else 5.6, i if iso else 100) for t, f, i in shots]
    told = [Settings(t, f if aperture else None, i if iso else None) for t, f, i in fixed]
    found = exposures(told)
    expected = [math.log2(t * i / f**2) for t, f, i in fixed]
    for ev, want in zip(found, expected, strict=True):
        assert ev - found[0] == pytest.approx(want - expected[0], abs=1e-9)


@pytest.mark.parametrize("left", ["time", "aperture", "iso"])
def test_shots_that_tell_different_settings_are_not_compared(left):
    whole = settings_of(PLAIN)
    partial = Settings(**{n: getattr(whole, n) for n in ("time", "aperture", "iso") if n != left})
    assert exposures([whole, partial]) is None
    assert partial.exposure is None


def test_biases_are_compared_where_no_shot_tells_its_time():
    assert exposures([Settings(bias=-2.0), Settings(bias=2.0)]) == [-2.0, 2.0]
    assert exposures([Settings(bias=-2.0), Settings()]) is None


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "", (), None, b"x"])
def test_invalid_values_are_unknown(value):
    assert settings_of(dict.fromkeys((33434, 33437, 34855, 37378), value)) == Settings()


def test_a_sensitivity_beyond_16_bits_is_read_from_its_own_tag():
    assert settings_of({34855: 65535, 34866: 102400}).iso == 102400
    assert settings_of({34855: (400, 0)}).iso == 400


@pytest.mark.parametrize(("tag", "fraction"), [(36867, 37521), (36868, 37522), (306, 37520)])
def test_a_time_comes_with_its_own_fraction(tag, fraction):
    exif = {tag: "2024:05:04 12:00:00", fraction: "25\0", 99: "7"}
    noon = datetime.datetime(2024, 5, 4, 12)
    assert taken(exif, exif) == noon + datetime.timedelta(seconds=0.25)
    assert taken({**exif, fraction: "two"}, {tag: exif[tag]}) == noon
    assert taken({}, {}) is None


@given(numbers=st.lists(st.integers(0, 99999), unique=True))
def test_names_are_ordered_by_their_numbers(numbers):
    names = [f"IMG_{n}.jpg" for n in numbers]
    assert sorted(names, key=natural) == [f"IMG_{n}.jpg" for n in sorted(numbers)]
