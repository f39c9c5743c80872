"""Motion between two frames of one scene, from keypoints that both show.

Keypoints are found by SIFT (D. G. Lowe, "Distinctive image features from scale-invariant
keypoints", IJCV 60(2), 2004) on luma whose histogram is equalised, which takes the exposure away.
A keypoint of one frame goes with one of the other by Lowe's ratio test. RANSAC (M. A. Fischler and
R. C. Bolles, CACM 24(6), 1981) finds the motion that most of them share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging import opencv

Matrix = npt.NDArray[np.float64]
"""A homography between pixel coordinates, (3, 3) float64. Pixel centres are whole numbers."""

FEWEST = 12
"""Fewest keypoints that have to share a motion. Eight wrong ones once agreed on 370 pixels."""

_KEYPOINTS = 4000
_RATIO = 0.75
"""Lowe's bound on the distance of the best match, as a share of the second best."""

_REACH = 1.5
"""Distance in pixels within which a keypoint shares a motion."""

_SHOWN = (8, 247)
"""Codes of luma between which a frame shows something; beyond them it is black or clipped."""

_BLOCKS = 4
"""Blocks on each side of a frame; keypoints of every second block test a homography."""

_GAIN = 0.9
"""Share of the similarity's error below which a homography explains more than noise."""


@dataclass(frozen=True)
class Motion:
    """The motion of one frame against another.

    Attributes:
        matrix: Homography from pixel coordinates (x, y, 1) of the fixed frame to those of the
            moving frame.
        keypoints: Number of keypoints that share the motion.
    """

    matrix: Matrix
    keypoints: int


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of a frame.

    Attributes:
        places: Their pixel coordinates (x, y), (N, 2) float64.
        descriptors: What SIFT says of each, (N, 128). ``None`` without keypoints.
        shape: Height and width of the frame in pixels.
    """

    places: npt.NDArray[np.float64]
    descriptors: Any
    shape: tuple[int, ...]


def find_keypoints(luma: npt.NDArray[np.float32]) -> Keypoints:
    """Find keypoints where a frame is neither black nor clipped.

    Args:
        luma: Luma HxW float32 in [0, 1], display-encoded, of any exposure.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    cv2 = opencv.load_opencv()
    codes = np.rint(np.clip(luma, 0, 1) * 255).astype(np.uint8)
    shown = ((codes > _SHOWN[0]) & (codes < _SHOWN[1])).astype(np.uint8) * 255
    found, descriptors = cv2.SIFT_create(_KEYPOINTS).detectAndCompute(
        cv2.equalizeHist(codes), shown
    )
    places = np.array([keypoint.pt for keypoint in found]).reshape(-1, 2)
    return Keypoints(places, descriptors, luma.shape)


def find_motion(fixed: Keypoints, moving: Keypoints) -> Motion:
    """Return the motion of one frame against another: a similarity, or a homography.

    A homography is taken only where it lowers the error on keypoints that it was not made from.

    Args:
        fixed: Keypoints of the fixed frame.
        moving: Keypoints of the moving frame, which is of the same size.

    Returns:
        The motion. ``keypoints`` is below :data:`FEWEST` where nothing was found, and the matrix is
        then the identity.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    cv2 = opencv.load_opencv()
    first, second = _matches(cv2, fixed, moving)
    if len(first) < FEWEST:
        return Motion(np.eye(3), len(first))
    similarity, shared = _similarity(cv2, first, second)
    if similarity is None or shared.sum() < FEWEST:
        return Motion(np.eye(3), int(shared.sum()))
    matrix = _better(cv2, first, second, similarity, fixed.shape)
    return Motion(matrix, int(shared.sum()))


def moved(points: npt.NDArray[np.float64], matrix: Matrix) -> npt.NDArray[np.float64]:
    """Return the places of N points (N, 2) under a homography, (N, 2)."""
    places = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(places[:, :2] / places[:, 2:])


def _matches(cv2: Any, fixed: Keypoints, moving: Keypoints) -> tuple[Any, Any]:
    """Return the places of keypoints that go together, each (N, 2) float64."""
    if min(len(fixed.places), len(moving.places)) < FEWEST:
        return np.empty((0, 2)), np.empty((0, 2))
    pairs = cv2.BFMatcher().knnMatch(fixed.descriptors, moving.descriptors, k=2)
    kept = [best for best, other in pairs if best.distance < _RATIO * other.distance]
    return (
        fixed.places[[match.queryIdx for match in kept]].reshape(-1, 2),
        moving.places[[match.trainIdx for match in kept]].reshape(-1, 2),
    )


def _similarity(cv2: Any, first: Any, second: Any) -> tuple[Matrix | None, Any]:
    matrix, shared = cv2.estimateAffinePartial2D(first, second, ransacReprojThreshold=_REACH)
    if matrix is None:
        return None, np.zeros(len(first), bool)
    return np.vstack([matrix, [0, 0, 1]]), shared.ravel().astype(bool)


def _better(cv2: Any, first: Any, second: Any, similarity: Matrix, shape: Any) -> Matrix:
    """Return a homography if it is right where it was not fitted, else the similarity."""
    near = np.linalg.norm(moved(first, similarity) - second, axis=1) < 4 * _REACH
    if near.sum() < 4 * FEWEST:
        return similarity
    first, second = first[near], second[near]
    blocks = (first * _BLOCKS / np.array(shape[::-1])).astype(int).sum(axis=1) % 2
    errors = []
    for held_out in (0, 1):
        fitted, tested = blocks != held_out, blocks == held_out
        if min(fitted.sum(), tested.sum()) < FEWEST:
            return similarity
        wide, _ = cv2.findHomography(first[fitted], second[fitted], cv2.RANSAC, _REACH)
        plain, _ = _similarity(cv2, first[fitted], second[fitted])
        if wide is None or plain is None:
            return similarity
        errors.append([_error(first[tested], second[tested], m) for m in (plain, wide)])
    of_similarity, of_homography = np.mean(errors, axis=0)
    if of_homography >= _GAIN * of_similarity:
        return similarity
    whole, _ = cv2.findHomography(first, second, cv2.RANSAC, _REACH)
    return similarity if whole is None else np.asarray(whole / whole[2, 2])


def _error(first: Any, second: Any, matrix: Matrix) -> float:
    return float(np.median(np.linalg.norm(moved(first, matrix) - second, axis=1)))
