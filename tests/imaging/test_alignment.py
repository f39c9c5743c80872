"""Tests of alignment on photographs with known warps, which a simulated camera re-exposes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import response
from edgeexpo.imaging.alignment import align
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import srgb_to_linear

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
    aligned, alignment = align(frames)
    assert alignment.accepted
    assert alignment.confidences[1] > 0.95
    assert largest_error(alignment.matrices[1], matrix) < 0.5
    still = bracket(np.eye(3), name=name)[1]
    ideal = cv2.warpPerspective(
        frames[1], matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    before, after, best = (
        np.abs(x - still)[alignment.valid].mean() for x in (frames[1], aligned[1], ideal)
    )
    assert after < before
    assert after < 1.05 * best
    assert 0.8 < alignment.valid.mean() < 1


@settings(max_examples=4, deadline=None)
@given(x=st.floats(-5, 5), y=st.floats(-5, 5), seed=st.integers(0, 99))
def test_small_shifts_are_recovered(x, y, seed):
    matrix = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    _, alignment = align(bracket(matrix, seed))
    assert alignment.accepted
    assert largest_error(alignment.matrices[1], matrix) < 0.5


def test_unrelated_and_empty_frames_are_rejected_and_said(capsys):
    reference = bracket(np.eye(3))[0]
    other = bracket(np.eye(3), name="astronaut")[1]
    aligned, alignment = align([reference, other, np.zeros_like(reference)])
    assert not alignment.accepted
    assert max(alignment.confidences[1:]) < 0.8
    np.testing.assert_array_equal(aligned[1], reference)
    np.testing.assert_array_equal(aligned[2], reference)
    assert capsys.readouterr().err.count("does not align") == 2


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
