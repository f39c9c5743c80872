"""Alignment of hand-held brackets: one scene, photographed by a camera that moved a little.

Each frame is registered in three steps:

1. Histogram matching gives the frame the exposure of the frame that it is registered on.
2. Median threshold bitmaps (MTB) find the translation: G. Ward, "Fast, robust image registration
   for compositing high dynamic range photographs from hand-held exposures", JGT 8(2), 2003.
3. Maximising the enhanced correlation coefficient (ECC) refines the motion, first over rigid
   motions, then over homographies: G. D. Evangelidis and E. Z. Psarakis, IEEE TPAMI 30(10), 2008.
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
from edgeexpo.imaging.mapping import CODES, HIGHEST, LOWEST, histogram_mapping
from edgeexpo.progress import note

Matrix = npt.NDArray[np.float64]
"""A homography between pixel coordinates, (3, 3) float64."""

MINIMUM_ECC = 0.8
"""Smallest enhanced correlation coefficient at which a frame counts as aligned."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_MTB_BITS = 5
"""Number of pyramid levels of the bitmaps, which find shifts up to 2**5 scaled pixels."""

_EXPOSED = 0.05
"""Smallest share of exposed pixels, neither black nor clipped, with which a frame is registered."""


@dataclass(frozen=True)
class Alignment:
    """The position of every frame of a bracket relative to the reference frame.

    Attributes:
        reference: Index of the reference frame.
        matrices: For each frame, the (3, 3) float64 homography from pixel coordinates (x, y, 1) of
            the reference to pixel coordinates of the frame. Pixel centres are whole numbers.
        confidences: Enhanced correlation coefficient of each frame, -1 to 1. The coefficient is 0
            for a frame whose registration failed.
        valid: HxW bool, True where every accepted frame shows the scene.
        accepted: True when every frame was registered.
    """

    reference: int
    matrices: tuple[Matrix, ...]
    confidences: tuple[float, ...]
    valid: npt.NDArray[np.bool_]
    accepted: bool


def align(
    frames: Sequence[Picture],
    *,
    reference: int = 0,
    largest: int = 768,
    in_order: bool = False,
) -> tuple[list[Picture], Alignment]:
    """Warp the frames of a bracket onto the reference frame.

    A frame whose coefficient is below :data:`MINIMUM_ECC` is rejected. The reference frame then
    takes its place, a note on stderr says so, and ``accepted`` is False.

    Args:
        frames: HxWx3 float32 in [0, 1], display-encoded, of any exposures.
        reference: Index of the frame that stays as it is, best a well-exposed one.
        largest: Longer side in pixels to which frames are scaled down for registration.
        in_order: True when the frames are in order of exposure. Each frame is then registered on
            its neighbour towards the reference, because neighbours have more detail in common
            than the two ends of a bracket.

    Returns:
        The frames as seen from the reference (HxWx3 float32, bilinear, borders repeated), and the
        alignment.

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
    valid = np.ones(frames[0].shape[:2], bool)
    aligned, matrices, confidences = [], [], []
    found = _registered(cv2, frames, reference, largest, in_order)
    for index, (frame, (matrix, confidence)) in enumerate(zip(frames, found, strict=True)):
        if confidence < MINIMUM_ECC:
            note(
                f"edgeexpo: frame {index} does not align (ECC {confidence:.2f}, expected "
                f"{MINIMUM_ECC} or more); the reference frame {reference} takes its place"
            )
            frame = frames[reference]
        elif index != reference:
            frame, inside = _warp(cv2, frame, matrix)
            valid &= inside
        aligned.append(frame)
        matrices.append(matrix)
        confidences.append(confidence)
    accepted = min(confidences) >= MINIMUM_ECC
    return aligned, Alignment(reference, tuple(matrices), tuple(confidences), valid, accepted)


def _registered(
    cv2: Any, frames: Sequence[Picture], reference: int, largest: int, in_order: bool
) -> list[tuple[Matrix, float]]:
    """Return each frame's homography from the reference, and the lowest coefficient on its path."""
    found = {reference: (np.eye(3), 1.0)}
    for index in sorted(range(len(frames)), key=lambda i: abs(i - reference)):
        if index == reference:
            continue
        nearer = index - int(np.sign(index - reference)) if in_order else reference
        matrix, confidence = _register(cv2, frames[index], frames[nearer], largest)
        before, least = found[nearer]
        whole = matrix @ before
        found[index] = whole / whole[2, 2], min(confidence, least)
    return [found[i] for i in range(len(frames))]


def _register(cv2: Any, frame: Picture, target: Picture, largest: int) -> tuple[Matrix, float]:
    """Return the homography from ``target`` to ``frame``, and its coefficient."""
    height, width = frame.shape[:2]
    scale = min(1.0, largest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    imf = histogram_mapping(frame, target)
    codes = np.rint(np.clip(frame, 0, 1) * (CODES - 1)).astype(np.uint8)
    equalised = np.stack([imf[codes[..., c], c] for c in range(3)], axis=2).astype(np.float32)
    if np.mean(np.all((codes >= LOWEST) & (codes <= HIGHEST), axis=2)) < _EXPOSED:
        return np.eye(3), 0.0
    moving, fixed = (
        cv2.resize(x, size, interpolation=cv2.INTER_AREA)
        for x in (equalised @ _LUMA, target @ _LUMA)
    )
    found, confidence = _correlate(cv2, fixed, moving)
    to_scaled = np.diag([size[0] / width, size[1] / height, 1.0])
    to_scaled[:2, 2] = (np.diag(to_scaled)[:2] - 1) / 2
    matrix = np.linalg.inv(to_scaled) @ found @ to_scaled
    return matrix / matrix[2, 2], confidence


def _correlate(cv2: Any, fixed: Any, moving: Any) -> tuple[Matrix, float]:
    """Register by MTB, then by ECC over rigid motions, then by ECC over homographies.

    Clipped pixels are not masked. With a mask, OpenCV's iteration does not converge (errors above
    1 pixel), and matched histograms agree where frames clip. OpenCV itself leaves out the pixels
    that are out of view.
    """
    bitmaps = cv2.createAlignMTB(_MTB_BITS)
    bytes_of = [np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8) for x in (fixed, moving)]
    shift = bitmaps.calculateShift(*bytes_of)
    warp = np.eye(2, 3, dtype=np.float32)
    warp[:, 2] = -np.asarray(shift, np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-6)
    try:
        _, warp = cv2.findTransformECC(fixed, moving, warp, cv2.MOTION_EUCLIDEAN, stop, None, 5)
        full = np.vstack([warp, [0, 0, 1]]).astype(np.float32)
        confidence, full = cv2.findTransformECC(
            fixed, moving, full, cv2.MOTION_HOMOGRAPHY, stop, None, 5
        )
    except cv2.error:  # raised when the iterations diverge or the pictures do not overlap
        return np.eye(3), 0.0
    if not np.isfinite(confidence) or not np.all(np.isfinite(full)) or abs(full[2, 2]) < 1e-6:
        return np.eye(3), 0.0
    return np.asarray(full, np.float64), float(confidence)


def _warp(cv2: Any, frame: Picture, matrix: Matrix) -> tuple[Picture, npt.NDArray[np.bool_]]:
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
