"""Tests of what single measures count, and of what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.evaluation.looks import borders, colour, halos, structure, tones, weave
from edgeexpo.imaging.arrays import Picture
from tests.support.looks_pictures import HEIGHT, WIDTH, bracket, coded, corrected, fused


def even(value: float, height: int = 160, width: int = 160) -> Picture:
    return np.full((height, width, 3), value, np.float32)


def step(low: float, high: float) -> Picture:
    picture = even(low)
    picture[:, 80:] = high
    return picture


def test_a_seam_of_known_height_along_an_edge_is_measured_in_codes() -> None:
    frame = step(60 / 255, 180 / 255)
    seam = frame.copy()
    seam[:, 84:90] += 20 / 255
    assert halos.overshoot([frame], seam) == pytest.approx(20, abs=0.01)
    dark = frame.copy()
    dark[:, 70:76] -= 12 / 255
    assert halos.overshoot([frame], dark) == pytest.approx(12, abs=0.01)
    turned = [np.ascontiguousarray(p.swapaxes(0, 1)) for p in (frame, seam)]
    assert halos.overshoot([turned[0]], turned[1]) == pytest.approx(20, abs=0.01)


def test_a_seam_that_a_frame_has_and_a_soft_edge_are_no_halos() -> None:
    frame = step(60 / 255, 180 / 255)
    seam = frame.copy()
    seam[:, 84:90] += 10 / 255
    assert halos.overshoot([seam], seam) == 0
    soft = frame.copy()
    soft[:, 70:90] = np.linspace(60, 180, 20, dtype=np.float32)[:, None] / 255
    assert halos.overshoot([frame], soft) == 0


def test_pictures_without_edges_have_no_halos_to_measure() -> None:
    assert halos.overshoot([even(0.5)], even(0.5)) is None
    assert halos.overshoot([even(0.5, 20, 20)], even(0.5, 20, 20)) is None


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("width", [3, 12])
def test_a_border_of_any_side_is_measured_in_codes(side: int, width: int) -> None:
    frame, picture = even(0.5), even(0.6)
    np.rot90(picture, side)[:width] += 9 / 255
    expected = 9 * min(width, 4) / 4
    assert borders.border_excess([frame], picture) == pytest.approx(expected, abs=0.01)


def test_what_a_frame_shows_at_the_border_is_no_border() -> None:
    frame = even(0.5)
    frame[:6] = 0.3
    assert borders.border_excess([frame], frame) == 0
    assert borders.border_excess([even(0.5, 100, 160)], even(0.5, 100, 160)) is None


@pytest.mark.parametrize("period", [4.0, 8.0, 7.9])
def test_the_strength_of_a_pattern_is_its_root_mean_square(period: float) -> None:
    wave = np.cos(2 * np.pi * np.arange(160) / period)[None, :, None]
    picture = (even(0.5) + 2 / 255 * wave).astype(np.float32)
    found = weave.weave([even(0.5)], picture, [(period, period)])
    assert found == pytest.approx(2 / np.sqrt(2), rel=0.2)


def test_the_frames_own_pattern_and_other_periods_are_no_weave() -> None:
    wave = np.cos(2 * np.pi * np.arange(160) / 8)[None, :, None]
    blocks = coded(even(0.5) + 3 / 255 * wave)
    lighter = coded(even(0.7) + 3 / 255 * wave)
    # Rounding to 8 bits leaves a little of it.
    assert weave.weave([blocks], lighter, [(8.0, 8.0)]) == pytest.approx(0, abs=0.25)
    eleven = np.cos(2 * np.pi * np.arange(160) / 11)[None, :, None]
    other = (even(0.5) + 3 / 255 * eleven).astype(np.float32)
    assert weave.weave([even(0.5)], other, [(8.0, 8.0)]) == pytest.approx(0, abs=0.05)
    assert weave.weave([even(0.5)], other, []) is None
    assert weave.weave([even(0.5, 64, 64)], even(0.5, 64, 64), [(8.0, 8.0)]) is None


def test_crushed_pixels_count_only_where_a_frame_shows_them() -> None:
    dark, bright = even(5 / 255), even(120 / 255)
    black = even(0.0)
    black[:, :40] = 0.5
    assert tones.crushed([dark, bright], black) == pytest.approx(75)
    assert tones.crushed([dark], black) == 0
    assert tones.crushed([dark, bright], even(1.0)) == 100


def test_darkening_is_the_largest_drop_between_neighbours() -> None:
    levels = (100, 120, 113, 112)
    pictures = [even(level / 255) for level in levels]
    assert tones.darkening(pictures) == pytest.approx(7, abs=0.01)
    assert tones.darkening(pictures[:2]) == 0
    assert tones.darkening(pictures[:1]) is None


def test_repeated_contrast_of_a_gain_a_gamma_and_a_grey_fog() -> None:
    rng = np.random.default_rng(0)
    frame = coded(0.3 + 0.1 * rng.random((160, 160, 1)) + np.zeros(3))
    assert structure.kept_contrast(frame, frame * np.float32(2)) == pytest.approx(1, abs=0.01)
    gamma = structure.kept_contrast(frame, frame**0.6)
    assert gamma == pytest.approx(0.6, abs=0.03)
    fog = structure.kept_contrast(frame, 0.2 * frame + np.float32(0.7))
    assert fog is not None
    assert fog < 0.15
    noise = structure.kept_contrast(frame, even(0.5) + 0.1 * rng.random((160, 160, 3)))
    assert noise is not None
    assert noise < 0.2
    assert structure.kept_contrast(even(0.5), even(0.5)) is None


def test_structure_falls_with_a_fault_that_only_a_coarse_size_shows() -> None:
    seen = fused()
    rows = np.arange(HEIGHT)[:, None, None]
    wave = coded(seen.picture + 0.06 * np.cos(2 * np.pi * rows / 24))
    fine = structure.kept_structure(seen.frames, seen.picture)
    assert fine is not None
    found = structure.kept_structure(seen.frames, wave)
    assert found is not None
    assert found < fine - 0.02
    small = [f[:40, :40] for f in (*seen.frames, seen.picture)]
    assert structure.kept_structure(small[:2], small[2]) is None


def test_the_hue_of_the_nearest_well_exposed_frame_counts() -> None:
    red, green, clipped = even(0.0), even(0.0), even(1.0)
    red[:] = (0.7, 0.3, 0.3)
    green[:] = (0.3, 0.7, 0.3)
    assert colour.hue_shift([red, green], green) == pytest.approx(0, abs=1e-3)
    shift = colour.hue_shift([red], green)
    assert shift is not None
    assert shift > 20
    assert colour.hue_shift([clipped], green) is None
    assert colour.hue_shift([even(0.5)], green) is None


def test_false_colour_of_frames_and_of_more_light_is_no_fault() -> None:
    frames = bracket()
    assert colour.false_colour(frames, frames[1]) == 0
    rng = np.random.default_rng(0)
    noisy = coded(0.2 + 0.02 * rng.standard_normal((160, 160, 3)))
    lighter = coded(np.minimum(noisy * 2, 1))
    plain = colour.false_colour([noisy], lighter)
    assert colour.false_colour_of_correction(noisy, lighter) < 0.5 * plain


def test_grey_frames_are_told_from_coloured_ones() -> None:
    assert not colour.has_colour(even(0.5))
    assert colour.has_colour(corrected().picture)
    assert corrected().picture.shape == (HEIGHT, WIDTH, 3)
