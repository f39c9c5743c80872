"""Alignment of hand-held brackets: one scene, photographed by a camera that moved a little.

Keypoints give the motion of each frame (:mod:`edgeexpo.imaging.keypoints`). A frame is moved only
if that helps: by a pixel or more, and so that it agrees with the reference better than before, at
full size as well. A frame that cannot be aligned stays as it is, and a note says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import opencv
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.keypoints import FEWEST, Keypoints, Matrix, find_keypoints, find_motion, moved
from edgeexpo.imaging.mapping import CODES, HIGHEST, LOWEST, histogram_mapping
from edgeexpo.imaging.raster import strips
from edgeexpo.progress import note

SMALLEST_MOTION = 1.0
"""Motion of a corner in pixels below which a frame stays, because resampling costs more."""

LEAST_SEEN = 0.5
"""Share of the reference that a moved frame has to show."""

LARGEST_ZOOM = 0.05
"""Largest change of scale between two shots of a hand-held bracket."""

_WORSE = "moved, it would agree with the reference less than before"

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Alignment:
    """The position of every frame of a bracket relative to the reference frame.

    Attributes:
        reference: Index of the reference frame.
        matrices: For each frame, the (3, 3) float64 homography from pixel coordinates (x, y, 1) of
            the reference to pixel coordinates of the frame. Pixel centres are whole numbers. The
            identity for a frame that was not moved.
        confidences: Correlation of each frame with the reference, -1 to 1, after it was moved and
            given the reference's exposure.
        reasons: For each frame, why it could not be aligned. ``None`` if it was, or if it needs no
            alignment.
        valid: HxW bool, True where every frame shows the scene.
    """

    reference: int
    matrices: tuple[Matrix, ...]
    confidences: tuple[float, ...]
    reasons: tuple[str | None, ...]
    valid: npt.NDArray[np.bool_]

    @property
    def accepted(self) -> bool:
        """True when every frame was aligned or needed no alignment."""
        return all(reason is None for reason in self.reasons)

    def reach(self, index: int) -> float:
        """Return the distance in pixels by which the corner of a frame moved that moved most."""
        height, width = self.valid.shape
        corners = np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)], np.float64)
        return float(np.abs(moved(corners, self.matrices[index]) - corners).max())


def align(
    frames: Sequence[Picture],
    *,
    reference: int = 0,
    largest: int = 1024,
    in_order: bool = False,
    names: Sequence[str] | None = None,
) -> tuple[list[Picture], Alignment]:
    """Warp the frames of a bracket onto the reference frame.

    A frame that cannot be aligned stays as it is. A note on stderr says why, and ``accepted`` is
    False.

    Args:
        frames: HxWx3 float32 in [0, 1], display-encoded, of any exposures.
        reference: Index of the frame that stays as it is, best a well-exposed one.
        largest: Longer side in pixels to which frames are scaled down for the search.
        in_order: True when the frames are in order of exposure. A frame that has too little in
            common with the reference is then aligned by its neighbour towards the reference.
        names: Names of the frames in notes, such as their files.

    Returns:
        The frames as seen from the reference (HxWx3 float32, bilinear, borders repeated), and the
        alignment. A frame that was not moved is the same array.

    Raises:
        PictureError: The frames are not HxWx3 or differ in size.
        UsageError: ``reference`` is not the index of a frame.
        MissingDependencyError: OpenCV is not installed.
    """
    if not 0 <= reference < len(frames):
        raise UsageError(f"reference is {reference}; expected the index of one of {len(frames)}")
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1 or frames[0].ndim != 3 or frames[0].shape[2] != 3:
        raise PictureError(f"frames have shapes {sorted(shapes)}; expected one size, HxWx3")
    cv2 = opencv.load_opencv()
    small = _Small(cv2, frames, largest)
    found = {reference: _Placed(np.eye(3), 1.0, None)}
    for index in sorted(range(len(frames)), key=lambda i: abs(i - reference)):
        if index == reference:
            continue
        placed = small.place(index, reference, np.eye(3))
        nearer = index - int(np.sign(index - reference))
        if placed.reason and in_order and nearer != reference and not found[nearer].reason:
            placed = small.place(index, nearer, found[nearer].matrix)
        found[index] = placed
    aligned, valid = [], np.ones(frames[0].shape[:2], bool)
    for index, frame in enumerate(frames):
        if not np.array_equal(found[index].matrix, np.eye(3)):
            warped, inside = _warp(cv2, frame, found[index].matrix)
            before, after = _agreements(frames[reference], (frame, warped), inside)
            if after < before:
                found[index] = _Placed(np.eye(3), before, _WORSE)
            else:
                frame, valid = warped, valid & inside
        if reason := found[index].reason:
            name = f"frame {index}" if names is None else names[index]
            note(f"edgeexpo: {name} is not aligned and stays as it is: {reason}")
        aligned.append(frame)
    ordered = [found[index] for index in range(len(frames))]
    return aligned, Alignment(
        reference,
        tuple(placed.matrix for placed in ordered),
        tuple(placed.confidence for placed in ordered),
        tuple(placed.reason for placed in ordered),
        valid,
    )


def common_window(valid: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the largest window (rows, columns) in which all pixels are valid.

    Rows or columns are taken off the border one by one, always where most pixels are invalid.

    Args:
        valid: HxW bool, such as :attr:`Alignment.valid`.
    """
    top, bottom, left, right = 0, valid.shape[0], 0, valid.shape[1]
    while bottom - top > 1 and right - left > 1:
        view = valid[top:bottom, left:right]
        sides = {"top": view[0], "bottom": view[-1], "left": view[:, 0], "right": view[:, -1]}
        shares = {name: float(np.mean(~line)) for name, line in sides.items()}
        worst = max(shares, key=lambda name: shares[name])
        if shares[worst] == 0:
            break
        top += worst == "top"
        bottom -= worst == "bottom"
        left += worst == "left"
        right -= worst == "right"
    return slice(top, bottom), slice(left, right)


@dataclass(frozen=True)
class _Placed:
    """A frame's homography from the reference, its correlation, and why it stays, if it does."""

    matrix: Matrix
    confidence: float
    reason: str | None


class _Small:
    """The frames of a bracket, scaled down for the search."""

    def __init__(self, cv2: Any, frames: Sequence[Picture], largest: int) -> None:
        self._cv2, self._frames = cv2, frames
        height, width = frames[0].shape[:2]
        scale = min(1.0, largest / max(height, width))
        self._size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._scaling = np.diag([self._size[0] / width, self._size[1] / height, 1.0])
        self._scaling[:2, 2] = (np.diag(self._scaling)[:2] - 1) / 2
        self._corners = np.array(
            [[x, y] for x in (0, width - 1) for y in (0, height - 1)], np.float64
        )
        self._lumas = [self._luma(frame) for frame in frames]
        self._found = dict[int, Keypoints]()

    def place(self, index: int, target: int, before: Matrix) -> _Placed:
        """Place a frame by its motion against ``target``, which ``before`` places itself."""
        fixed, matched = self._lumas[target], self._matched(index, target)
        unmoved = _correlation(fixed, matched, np.ones(fixed.shape, bool))
        motion = find_motion(self._keypoints(target), self._keypoints(index))
        if motion.keypoints < FEWEST:
            return _Placed(
                np.eye(3),
                unmoved,
                f"{motion.keypoints} keypoints agree on a motion, and {FEWEST} are needed",
            )
        zoom = abs(float(np.sqrt(abs(np.linalg.det(motion.matrix[:2, :2])))) - 1)
        if zoom > LARGEST_ZOOM:
            return _Placed(
                np.eye(3), unmoved, f"its scale would change by {zoom:.0%}, as no hand does it"
            )
        matrix = np.linalg.inv(self._scaling) @ motion.matrix @ self._scaling @ before
        matrix = matrix / matrix[2, 2]
        reach = np.abs(moved(self._corners, matrix) - self._corners).max()
        if reach < SMALLEST_MOTION:
            return _Placed(np.eye(3), unmoved, None)
        there, inside = _warp(self._cv2, matched, motion.matrix)
        if inside.mean() < LEAST_SEEN:
            return _Placed(
                np.eye(3), unmoved, f"it would show only {inside.mean():.0%} of the reference"
            )
        after = _correlation(fixed, there, inside)
        if after <= _correlation(fixed, matched, inside):
            return _Placed(
                np.eye(3), unmoved, f"moved by {reach:.1f} px it would agree less than before"
            )
        return _Placed(matrix, after, None)

    def _keypoints(self, index: int) -> Keypoints:
        if index not in self._found:
            self._found[index] = find_keypoints(self._lumas[index])
        return self._found[index]

    def _matched(self, index: int, target: int) -> Any:
        """Return the luma of a frame at the exposure of ``target``."""
        frame = self._frames[index]
        imf = histogram_mapping(frame, self._frames[target])
        codes = np.rint(np.clip(frame, 0, 1) * (CODES - 1)).astype(np.uint8)
        matched = np.stack([imf[codes[..., c], c] for c in range(3)], axis=2).astype(np.float32)
        return self._luma(matched)

    def _luma(self, picture: Picture) -> Any:
        area = self._cv2.INTER_AREA
        return self._cv2.resize(picture @ _LUMA, self._size, interpolation=area)


def _correlation(fixed: Any, other: Any, where: npt.NDArray[np.bool_]) -> float:
    """Return the correlation coefficient of two lumas over some pixels, 0 where one is constant.

    Pixels that the fixed frame shows black or clipped are left out.
    """
    where = where & (fixed * (CODES - 1) >= LOWEST) & (fixed * (CODES - 1) <= HIGHEST)
    if where.sum() < 2:
        return 0.0
    first, second = (x[where] - x[where].mean() for x in (fixed, other))
    power = float(np.sqrt(np.sum(first**2) * np.sum(second**2)))
    return float(np.sum(first * second)) / power if power > 0 else 0.0


def _agreements(
    reference: Picture, frames: Sequence[Picture], where: npt.NDArray[np.bool_]
) -> list[float]:
    """Return the correlation of frames with the reference at full size, read in strips of rows.

    Args:
        reference: The reference frame, HxWx3.
        frames: A frame as it was and as it is moved. The first one gives the mapping for both.
        where: HxW bool, the pixels that count, unless the reference is black or clipped there.
    """
    imf = histogram_mapping(frames[0], reference)
    # Of two lumas over the pixels: count, sums, sums of squares, and sum of products.
    sums = np.zeros((len(frames), 6))
    for window in strips(reference.shape):
        fixed = reference[window] @ _LUMA * (CODES - 1)
        shown = where[window] & (fixed >= LOWEST) & (fixed <= HIGHEST)
        first = fixed[shown].astype(np.float64)
        for frame, total in zip(frames, sums, strict=True):
            codes = np.rint(np.clip(frame[window][shown], 0, 1) * (CODES - 1)).astype(np.uint8)
            second = np.zeros(len(first))
            for channel, weight in enumerate(_LUMA):
                second += weight * (CODES - 1) * imf[codes[:, channel], channel]
            total += [
                len(first),
                first.sum(),
                second.sum(),
                first @ first,
                second @ second,
                first @ second,
            ]
    return [_of_sums(*total) for total in sums]


def _of_sums(
    count: float, first: float, second: float, square: float, other: float, product: float
) -> float:
    """Return the correlation of two samples from their sums, 0 where one is constant."""
    power = (count * square - first**2) * (count * other - second**2)
    return float((count * product - first * second) / np.sqrt(power)) if power > 0 else 0.0


def _warp(cv2: Any, frame: Any, matrix: Matrix) -> tuple[Any, npt.NDArray[np.bool_]]:
    height, width = frame.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(
        frame, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    rows, columns = np.mgrid[0:height, 0:width]
    points = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ matrix.T
    depth = points[..., 2:]
    place = points[..., :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    inside = (place >= 0) & (place <= np.array([width - 1, height - 1])) & (depth > 0)
    return np.asarray(warped, np.float32), np.all(inside, axis=2)
