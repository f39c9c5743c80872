"""Tests of deghosting on photographs over which a disc moves, shot by a simulated camera."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import deghosting
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.deghosting import best_exposed, deghost
from edgeexpo.imaging.fusion import exposure_fusion

HEIGHT, WIDTH = 150, 200
RADIUS = 14


def light(name: str = "coffee") -> np.ndarray:
    picture = getattr(data, name)().astype(np.float32) / 255
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return srgb_to_linear(small).astype(np.float32)


def distance(place: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.hypot(columns - place[0], rows - place[1])


def with_disc(scene: np.ndarray, place: tuple[int, int], colour=(0.05, 0.1, 0.4)) -> np.ndarray:
    share = np.clip(RADIUS + 0.5 - distance(place), 0, 1)[..., None]
    return (scene * (1 - share) + np.array(colour) * share).astype(np.float32)


def shoot(scenes, evs, seed: int = 0, jpeg: int | None = None) -> list[np.ndarray]:
    """Photograph a scene for each exposure; the noise depends on the seed and the frame alone."""
    camera = dataclasses.replace(Camera.random(np.random.default_rng(seed)), jpeg_quality=jpeg)
    return [
        camera.shoot(scene, ev, np.random.default_rng((seed, index)))
        for index, (scene, ev) in enumerate(zip(scenes, evs, strict=True))
    ]


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
@pytest.mark.parametrize("evs", [(-2.0, 0.0, 2.0), (-1.0, 2.0)])
def test_a_moving_disc_leaves_a_twentieth_of_its_energy(name, evs):
    places = [(60, 60), (100, 70), (140, 80)][: len(evs)]
    frames = shoot([with_disc(light(name), place) for place in places], evs)
    result, found = deghost(frames)
    still = shoot([with_disc(light(name), places[found.reference])] * len(evs), evs)
    near = np.minimum.reduce([abs(distance(place) - RADIUS) for place in places]) <= 8
    truth = exposure_fusion(still)
    before, left = (
        float(np.sum((exposure_fusion(shown) - truth)[near] ** 2)) for shown in (frames, result)
    )
    assert left <= 0.05 * before
    area = np.pi * RADIUS**2 / (HEIGHT * WIDTH)
    assert found.replaced[found.reference] == 0
    assert result[found.reference] is frames[found.reference]
    assert all(
        area < share < 5 * area
        for index, share in enumerate(found.replaced)
        if index != found.reference
    )


@settings(max_examples=10, deadline=None)
@given(
    name=st.sampled_from(["coffee", "chelsea", "astronaut", "rocket"]),
    evs=st.sampled_from([(-2.0, 0.0, 2.0), (-3.0, 1.0), (0.0, 3.0), (1.0, 1.5)]),
    jpeg=st.sampled_from([None, 75, 95]),
    seed=st.integers(0, 99),
)
def test_static_frames_are_the_same_arrays(name, evs, jpeg, seed):
    frames = shoot([light(name)] * len(evs), evs, seed, jpeg)
    result, found = deghost(frames)
    assert all(a is b for a, b in zip(result, frames, strict=True))
    assert found.replaced == (0,) * len(frames)
    assert found.reasons == (None,) * len(frames)


def test_frames_that_are_registered_to_a_pixel_stay():
    shifted = cv2.warpAffine(
        light(),
        np.array([[1, 0, 0.7], [0, 1, -0.6]]),
        (WIDTH, HEIGHT),
        borderMode=cv2.BORDER_REFLECT,
    )
    frames = shoot([light(), shifted], (0.0, 2.0))
    assert deghost(frames)[0][1] is frames[1]


def test_nothing_outside_of_what_moved_changes():
    frames = shoot([with_disc(light(), (60, 60)), with_disc(light(), (140, 80))], (0.0, 2.0))
    result, _ = deghost(frames, reference=0)
    changed = np.abs(result[1] - frames[1]).max(axis=2) > 0
    far = np.minimum(distance((60, 60)), distance((140, 80))) > RADIUS + 16
    assert changed.any()
    assert not changed[far].any()


def test_where_the_reference_is_clipped_the_level_comes_from_around():
    """A dark disc hides a sky in the dark frame; the light one shows it clipped."""
    sky = light() / 4
    sky[:80] = 0.9
    frames = shoot([with_disc(sky, (70, 40)), sky], (-1.0, 2.0))
    result, _ = deghost(frames, reference=1)
    truth = shoot([sky, sky], (-1.0, 2.0))[0]
    inside = distance((70, 40)) < RADIUS
    assert np.abs(frames[0] - truth)[inside].mean() > 0.2
    assert np.abs(result[0] - truth)[inside].mean() < 0.03


def test_a_disc_that_the_reference_cannot_judge_stays():
    """Both scenes are clipped in the reference, so nothing says that the bright disc moved."""
    sky = np.full((HEIGHT, WIDTH, 3), 0.8, np.float32)
    sky[90:] = light()[90:] / 4
    brighter = with_disc(sky, (70, 40), (0.95, 0.95, 0.95))
    frames = shoot([brighter, sky], (-0.5, 3.0))
    assert deghost(frames, reference=1)[0][0] is frames[0]


def test_large_frames_are_compared_small_and_replaced_at_full_size(monkeypatch):
    monkeypatch.setattr(deghosting, "LARGEST", 100)
    frames = shoot([light(), with_disc(light(), (120, 80))], (0.0, 1.0))
    result, _ = deghost(frames, reference=0)
    truth = shoot([light()] * 2, (0.0, 1.0))[1]
    inside = distance((120, 80)) < RADIUS
    assert np.abs(frames[1] - truth)[inside].mean() > 0.1
    assert np.abs(result[1] - truth)[inside].mean() < 0.03
    assert np.array_equal(result[1][:20], frames[1][:20])


def test_another_scene_is_no_motion(capsys):
    rng = np.random.default_rng(0)
    blocks = cv2.resize(rng.random((6, 8, 3)).astype(np.float32), (WIDTH, HEIGHT), interpolation=0)
    names = ["a.jpg", "b.jpg"]
    result, found = deghost([shoot([light()], [0.0])[0], blocks], reference=0, names=names)
    assert result[1] is blocks
    assert found.replaced == (0, 0)
    assert "differs from the reference, as no motion does" in str(found.reasons[1])
    assert "nothing is replaced in b.jpg" in capsys.readouterr().err


def test_two_frames_of_one_exposure_are_deghosted_as_well():
    frames = shoot([with_disc(light(), (60, 60)), with_disc(light(), (140, 80))], (0.5, 0.5))
    result, found = deghost(frames, reference=0)
    assert found.replaced[1] > 0
    assert np.abs(result[1] - frames[0]).mean() < np.abs(frames[1] - frames[0]).mean()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_frames_stay(value):
    frames = [np.full((40, 50, 3), v, np.float32) for v in (value, 0.3)]
    assert deghost(frames)[0][1] is frames[1]


def test_the_best_exposed_frame_has_most_values_inside_the_range():
    frames = [np.full((4, 4, 3), value, np.float32) for value in (0.01, 0.5, 1.0)]
    assert best_exposed(frames) == 1


def test_bad_input_is_named():
    frames = [np.full((40, 50, 3), 0.5, np.float32)] * 2
    with pytest.raises(PictureError, match="found 1 frames; expected two or more"):
        deghost(frames[:1])
    with pytest.raises(PictureError, match="one size"):
        deghost([frames[0], frames[1][:-1]])
    with pytest.raises(UsageError, match="reference is 2"):
        deghost(frames, reference=2)


def test_a_response_of_the_camera_serves_codes_that_only_the_disc_has():
    """The scene is blue and green; the disc is red, and moves away."""
    scene = light() * np.array([0.02, 1, 1], np.float32)
    places = [(60, 60), (130, 90)]
    red = (0.5, 0.05, 0.05)
    frames = shoot([with_disc(scene, place, red) for place in places], (0.0, -2.0))
    result, _ = deghost(frames, reference=0)
    truth = shoot([with_disc(scene, places[0], red)] * 2, (0.0, -2.0))[1]
    inside = distance(places[0]) < RADIUS - 2
    assert np.abs(frames[1] - truth)[inside][:, 0].mean() > 0.15
    assert np.abs(result[1] - truth)[inside][:, 0].mean() < 0.06


def test_the_same_forms_in_other_codes_are_no_motion(monkeypatch):
    """A part keeps its texture and becomes lighter, as colours do that the mapping gets wrong."""
    frames = shoot([light("astronaut")] * 2, (0.0, 1.0))
    inside = distance((110, 70)) < 2 * RADIUS
    frames[1][inside] = 0.4 + 0.5 * frames[1][inside]
    assert deghost(frames, reference=0)[0][1] is frames[1]
    monkeypatch.setattr(deghosting, "SAME_FORM", 1.1)
    assert deghost(frames, reference=0)[0][1] is not frames[1]
