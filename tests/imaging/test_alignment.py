"""Tests of alignment on photographs with known warps, which a simulated camera re-exposes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, exposure

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import alignment, response
from edgeexpo.imaging.alignment import SMALLEST_MOTION, align, common_window
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.keypoints import Motion

HEIGHT, WIDTH = 160, 200


def light(name: str = "coffee") -> np.ndarray:
    picture = getattr(data, name)().astype(np.float32) / 255
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return srgb_to_linear(small).astype(np.float32)


def rotation(degrees: float) -> np.ndarray:
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1.0)
    return np.vstack([turn, [0, 0, 1]])


def bracket(matrix: np.ndarray, seed: int = 0, name: str = "coffee") -> list[np.ndarray]:
    """Return a reference at +1 EV, and a warped frame at -1.5 EV.

    The frame's pixel ``matrix @ p`` shows the same point as the reference's pixel ``p``.
    """
    rng = np.random.default_rng(seed)
    camera = Camera(response.random_response(rng))
    moved = cv2.warpPerspective(
        light(name), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    over = camera.shoot(light(name), 1.0, rng)
    return [over, camera.shoot(np.maximum(moved, 0), -1.5, rng)]


def largest_error(found: np.ndarray, true: np.ndarray) -> float:
    columns, rows = np.meshgrid(np.linspace(0.1, 0.9, 5) * WIDTH, np.linspace(0.1, 0.9, 5) * HEIGHT)
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)[:, None]
    difference = cv2.perspectiveTransform(points, found) - cv2.perspectiveTransform(points, true)
    return float(np.linalg.norm(difference, axis=2).max())


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[1, 0, 6.5], [0, 1, -4.25], [0, 0, 1]]),
        rotation(1.5),
        np.array([[1, 0.01, 2.0], [0, 1, -3.0], [3e-5, -2e-5, 1]]),
    ],
    ids=["translation", "rotation", "homography"],
)
def test_known_warps_are_recovered(matrix, name):
    frames = bracket(matrix, name=name)
    aligned, found = align(frames)
    assert found.accepted
    assert found.confidences[1] > 0.95
    assert largest_error(found.matrices[1], matrix) < 0.5
    still = bracket(np.eye(3), name=name)[1]
    ideal = cv2.warpPerspective(
        frames[1], matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    before, after, best = (
        np.abs(x - still)[found.valid].mean() for x in (frames[1], aligned[1], ideal)
    )
    assert after < before
    assert after < 1.1 * best
    assert 0.8 < found.valid.mean() < 1


@settings(max_examples=4, deadline=None)
@given(x=st.floats(-5, 5), y=st.floats(-5, 5), seed=st.integers(0, 99))
def test_small_shifts_are_recovered_and_those_below_a_pixel_left(x, y, seed):
    matrix = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    frames = bracket(matrix, seed)
    aligned, found = align(frames)
    assert found.accepted
    if aligned[1] is frames[1]:
        assert max(abs(x), abs(y)) < SMALLEST_MOTION + 0.5
    else:
        assert largest_error(found.matrices[1], matrix) < 0.5


def test_unrelated_and_empty_frames_stay_as_they_are_and_are_said(capsys):
    reference = bracket(np.eye(3))[0]
    other = bracket(np.eye(3), name="astronaut")[1]
    empty = np.zeros_like(reference)
    names = ["a.jpg", "b.jpg", "c.jpg"]
    aligned, found = align([reference, other, empty], names=names)
    assert not found.accepted
    assert max(found.confidences[1:]) < 0.8
    assert [reason is None for reason in found.reasons] == [True, False, False]
    assert aligned[1] is other
    assert aligned[2] is empty
    assert found.valid.all()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[1] for line in said] == ["b.jpg", "c.jpg"]
    assert "keypoints agree on a motion, and 12 are needed" in said[1]


def residual(reference: np.ndarray, frame: np.ndarray, where: np.ndarray) -> float:
    """Return 1 minus the correlation of a frame with the reference at the reference's exposure.

    The mapping from codes to codes is scikit-image's.
    """
    matched = exposure.match_histograms(frame, reference, channel_axis=-1)
    luma = [x @ np.array([0.299, 0.587, 0.114]) for x in (reference, matched)]
    shown = where & (luma[0] > 6 / 255) & (luma[0] < 250 / 255)
    return 1 - float(np.corrcoef(luma[0][shown], luma[1][shown])[0, 1])


@settings(max_examples=12, deadline=None)
@given(
    x=st.floats(-9, 9),
    y=st.floats(-9, 9),
    degrees=st.sampled_from([0.0, 0.1, -1.2]),
    largest=st.sampled_from([100, 1024]),
    seed=st.integers(0, 99),
    name=st.sampled_from(["coffee", "astronaut", "chelsea"]),
)
def test_the_residual_is_never_above_the_unaligned_one(x, y, degrees, largest, seed, name):
    """A search at a quarter of the size is as coarse as that of a large picture."""
    matrix = rotation(degrees)
    matrix[:2, 2] += (x, y)
    frames = bracket(matrix, seed, name)
    aligned, found = align(frames, largest=largest)
    before, after = (residual(frames[0], x, found.valid) for x in (frames[1], aligned[1]))
    assert after <= before + 1e-4


def test_a_motion_that_does_not_help_at_full_size_is_not_taken(monkeypatch, capsys):
    """The search is told that a registered frame has moved by two pixels."""
    frames = bracket(np.eye(3))
    wrong = Motion(np.array([[1, 0, 2.0], [0, 1, 0], [0, 0, 1]]), 100)
    monkeypatch.setattr(alignment, "find_motion", lambda *_: wrong)
    falling = iter(range(9, 0, -1))
    monkeypatch.setattr(alignment, "_correlation", lambda *_: next(falling))
    aligned, found = align(frames)
    assert aligned[1] is frames[1]
    assert not found.accepted
    assert found.valid.all()
    assert found.reach(1) == 0
    assert "agree with the reference less than before" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
@pytest.mark.parametrize("ev", [-4, -2, 2])
def test_registered_frames_are_the_same_arrays(name, ev):
    rng = np.random.default_rng(1)
    camera = Camera(response.random_response(rng))
    frames = [camera.shoot(light(name), shot, rng) for shot in (0, ev)]
    aligned, found = align(frames)
    assert aligned[1] is frames[1]
    assert found.valid.all()


def test_a_motion_that_shows_another_scene_is_not_taken(capsys):
    """Half of the frame shows the scene at twice its distance from the other half."""
    still, moving = bracket(np.array([[1, 0, 130.0], [0, 1, 0], [0, 0, 1]]))
    aligned, found = align([still, moving])
    assert aligned[1] is moving
    assert not found.accepted
    assert "frame 1 is not aligned" in capsys.readouterr().err


def test_a_change_of_scale_is_not_taken():
    zoom = np.array([[1.15, 0, -12.0], [0, 1.15, -9], [0, 0, 1]])
    frames = bracket(zoom)
    aligned, found = align(frames)
    assert aligned[1] is frames[1]
    assert "scale would change by 15%" in str(found.reasons[1])


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(2, 30),
    width=st.integers(2, 30),
    corner=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    seed=st.integers(0, 99),
)
def test_the_common_window_is_valid_and_all_where_nothing_is_lost(height, width, corner, seed):
    valid = np.ones((height, width), bool)
    valid[: min(corner[0], height - 1), : min(corner[1], width - 1)] = False
    window = common_window(valid)
    assert valid[window].size > 0
    assert valid[window].all() or min(valid[window].shape) == 1
    assert common_window(np.ones((height, width), bool)) == (slice(0, height), slice(0, width))


def test_a_shift_costs_its_own_rows_and_columns_only():
    valid = np.zeros((40, 60), bool)
    valid[3:, :-5] = True
    assert common_window(valid) == (slice(3, 40), slice(0, 55))


def test_bad_input_is_named():
    frames = bracket(np.eye(3))
    with pytest.raises(UsageError, match="reference is 2"):
        align(frames, reference=2)
    with pytest.raises(PictureError, match="one size"):
        align([frames[0], frames[1][:-1]])


def test_a_bracket_in_order_is_aligned_from_neighbour_to_neighbour():
    rng = np.random.default_rng(3)
    camera = Camera(response.random_response(rng))
    steps, frames = [], []
    for index, ev in enumerate((-4.5, -3.0, -1.0, 0.5)):
        step = rotation(1.5 * (index - 2))
        step[:2, 2] += (1.5 * (index - 2), -0.8 * (index - 2))
        moved = cv2.warpPerspective(
            light(), step, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        steps.append(step)
        frames.append(camera.shoot(np.maximum(moved, 0), ev, rng))
    _, found = align(frames, reference=2, in_order=True)
    assert found.accepted
    assert found.matrices[2].tolist() == np.eye(3).tolist()
    for matrix, true in zip(found.matrices, steps, strict=True):
        assert largest_error(matrix, true) < 1
