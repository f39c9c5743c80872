"""Response calibration from three exposures or more, and the merge of a bracket to radiance.

Follows P. E. Debevec and J. Malik, "Recovering high dynamic range radiance maps from photographs",
SIGGRAPH 1997. Frames must be registered and must show a scene that does not move.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import opencv
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.mapping import CODES
from edgeexpo.imaging.response import ResponseTable, checked


def calibrate(
    frames: Sequence[Picture],
    evs: Sequence[float | None],
    *,
    samples: int = 150,
    smoothness: float = 10.0,
) -> ResponseTable:
    """Recover the camera's response from a bracket, by OpenCV's least squares.

    Args:
        frames: Three or more HxWx3 frames in [0, 1], as the camera encoded them, read as 8-bit
            codes.
        evs: log2 of each frame's exposure, in the order of ``frames``. Only differences matter.
        samples: Number of pixels used, on a grid. 100 to 200 are enough.
        smoothness: Weight of the curve's second derivative (lambda).

    Returns:
        (256, 3) float64 inverse response, as in :mod:`edgeexpo.imaging.response`. OpenCV's result
        is made monotonic by an isotonic fit in the logarithm, then strictly increasing from 0 to 1.

    Raises:
        UsageError: There are fewer than three frames, an EV is missing, or two EVs are equal.
        PictureError: The frames are not HxWx3 or differ in size.
        MissingDependencyError: OpenCV is not installed.
    """
    if len(frames) < 3:
        raise UsageError(
            f"{len(frames)} frames; expected 3 or more to calibrate a response (with 2, the "
            "response is fitted to their histograms)"
        )
    times = _times(frames, evs)
    calibrator = opencv.load_opencv().createCalibrateDebevec(samples, smoothness, False)
    found = calibrator.process([_codes(frame) for frame in frames], times)
    log = np.log(np.asarray(found, np.float64).reshape(CODES, 3))
    return checked(np.exp(np.stack([_isotonic(log[:, c]) for c in range(3)], axis=1)))


def merge_radiance(
    frames: Sequence[Picture], evs: Sequence[float | None], table: ResponseTable
) -> Picture:
    """Merge a bracket to radiance by a mean of log radiance, with tent weights on the codes.

    A value that is white in every frame takes the bound of the shortest exposure. A value that is
    black in every frame takes the bound of the longest exposure.

    Args:
        frames: HxWx3 in [0, 1], as the camera encoded them, read as 8-bit codes.
        evs: log2 of each frame's exposure, in the order of ``frames``.
        table: (256, 3) inverse response.

    Returns:
        HxWx3 float32, linear radiance > 0. Radiance 1 just saturates at EV 0.

    Raises:
        UsageError: There are no frames, an EV is missing, or two EVs are equal.
        PictureError: The frames are not HxWx3 or differ in size.
    """
    if not frames:
        raise UsageError("no frames; expected a bracket to merge")
    exposures = np.log2(_times(frames, evs))
    shortest, longest = int(np.argmin(exposures)), int(np.argmax(exposures))
    inverse = checked(table)
    log = np.log2(np.maximum(inverse, inverse[1] / 2))
    tent = np.minimum(np.arange(CODES), CODES - 1 - np.arange(CODES)).astype(np.float64)
    total = np.zeros(frames[0].shape)
    weights = np.zeros(frames[0].shape)
    for index, frame in enumerate(frames):
        weight_of = tent + 1e-12
        weight_of[-1] += 1e-6 * (index == shortest)
        weight_of[0] += 1e-6 * (index == longest)
        codes = _codes(frame)
        weight = weight_of[codes]
        seen = np.stack([log[codes[..., c], c] for c in range(3)], axis=2)
        total += weight * (seen - exposures[index])
        weights += weight
    return np.asarray(2.0 ** (total / weights), np.float32)


def _times(frames: Sequence[Picture], evs: Sequence[float | None]) -> npt.NDArray[np.float32]:
    """Check that frames and EVs fit together, and return the exposure times, 1 at EV 0."""
    if len(evs) != len(frames) or any(ev is None or not np.isfinite(ev) for ev in evs):
        raise UsageError(
            f"EVs are {list(evs)} for {len(frames)} frames; expected a number for each"
        )
    values = np.array([ev for ev in evs if ev is not None], np.float64)
    if len(values) > 1 and np.min(np.diff(np.sort(values))) < 1e-3:
        raise UsageError(f"EVs are {list(evs)}; expected no two equal")
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1 or frames[0].ndim != 3 or frames[0].shape[2] != 3:
        raise PictureError(f"frames have shapes {sorted(shapes)}; expected one size, HxWx3")
    return np.asarray(2.0**values, np.float32)


def _codes(frame: Picture) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(frame, 0, 1) * (CODES - 1)).astype(np.uint8)


def _isotonic(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the closest sequence that never decreases (pool adjacent violators)."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values:
        means.append(float(value))
        sizes.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            size = sizes[-2] + sizes[-1]
            means[-2:] = [(means[-2] * sizes[-2] + means[-1] * sizes[-1]) / size]
            sizes[-2:] = [size]
    return np.repeat(means, sizes)
