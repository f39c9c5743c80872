"""Deghosting of brackets: what moved between the exposures comes from one of them.

Every frame is compared with a reference frame (:mod:`edgeexpo.imaging.disagreement`). Where it
shows something else, its content is replaced by that of the reference, mapped to the frame's
exposure. The frames then show one scene, so that any network can take them. Reference selection and
replacement by the intensity mapping follow O. Gallo, N. Gelfand, W. Chen, M. Tico, K. Pulli,
"Artifact-free high dynamic range imaging", ICCP 2009.
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
from edgeexpo.imaging.disagreement import (
    REACH,
    Mapped,
    Mask,
    excess,
    looked_up,
    map_frames,
)
from edgeexpo.imaging.mapping import CODES, HIGHEST
from edgeexpo.imaging.raster import STRIP
from edgeexpo.imaging.robust_mapping import slopes
from edgeexpo.progress import note

LARGEST = 1024
"""Longer side in pixels to which frames are scaled down to be compared."""

MOST_REPLACED = 0.5
"""Share of a frame beyond which a disagreement is no motion, and nothing is replaced."""

STRONG = 12.0
"""Codes beyond the tolerance that a region has to show somewhere."""

SMALLEST_REGION = 2e-4
"""Area of the smallest region, as a share of the frame: 14 pixels square in one million."""

SAME_FORM = 0.68
"""Correlation of the codes of two frames from which a region shows the same, not something else."""

_AROUND = 10
"""Radius in pixels of what is around a region when forms are compared."""

_OPENING = 2
"""Radius in pixels of the smallest disc that fits into the strong part of a region."""

_CLOSING = 6
"""Radius in pixels of the gaps that are closed, as parts of what moves agree by chance."""

_FEATHER = 2.0
"""Standard deviation in pixels of the Gaussian that softens the edge of a region."""

_CALMING = 4
"""Radius in pixels of the filter that takes away noise where the mapping would amplify it."""

_UNCLIPPED = HIGHEST - 10
"""Code of the reference from which a level around is trusted beside the IMF, up to ``HIGHEST``."""


@dataclass(frozen=True)
class Deghosting:
    """What was replaced in the frames of a bracket.

    Attributes:
        reference: Index of the frame from which everything that moved comes.
        replaced: For each frame, the share of its pixels that were replaced, 0 to 1.
        reasons: For each frame, why nothing was replaced although it disagrees with the reference.
            ``None`` otherwise.
    """

    reference: int
    replaced: tuple[float, ...]
    reasons: tuple[str | None, ...]


def best_exposed(frames: Sequence[Picture]) -> int:
    """Return the index of the frame with most values between 5 and 95 % of the range.

    Args:
        frames: HxWx3 float32 in [0, 1], display-encoded.
    """
    return int(np.argmax([_well_exposed(frame) for frame in frames]))


def deghost(
    frames: Sequence[Picture],
    *,
    reference: int | None = None,
    names: Sequence[str] | None = None,
) -> tuple[list[Picture], Deghosting]:
    """Replace what moved between the exposures of a registered bracket.

    Regions are found at no more than :data:`LARGEST` pixels, and replaced at full size with a soft
    edge. Where the reference is clipped, it does not tell a darker frame's level. That level then
    comes from the frame itself, around the region. A frame that disagrees nearly everywhere stays
    as it is, and a note on stderr says why.

    Args:
        frames: HxWx3 float32 in [0, 1], sRGB-encoded, of different exposures, registered to within
            a pixel (:func:`edgeexpo.imaging.alignment.align`).
        reference: Index of the frame that stays as it is. ``None`` takes the best exposed one
            (:func:`best_exposed`).
        names: Names of the frames in notes, such as their files.

    Returns:
        The frames, HxWx3 float32 in [0, 1], and what was replaced. A frame in which nothing was
        replaced is the same array.

    Raises:
        PictureError: There are fewer than two frames, or they are not HxWx3 or differ in size.
        UsageError: ``reference`` is not the index of a frame.
        MissingDependencyError: OpenCV is not installed.
    """
    _check(frames)
    if reference is None:
        reference = best_exposed(frames)
    if not 0 <= reference < len(frames):
        raise UsageError(f"reference is {reference}; expected the index of one of {len(frames)}")
    cv2 = opencv.load_opencv()
    fixed = _small(cv2, frames[reference])
    result: list[Picture] = []
    shares: list[float] = []
    reasons: list[str | None] = []
    for index, frame in enumerate(frames):
        share, reason = 0.0, None
        if index != reference:
            other = _small(cv2, frame)
            mapped = map_frames(fixed, other)
            region = regions(fixed, other, mapped)
            share = float(region.mean())
        if share > MOST_REPLACED:
            name = f"frame {index}" if names is None else names[index]
            reason = f"{share:.0%} of it differs from the reference, as no motion does"
            note(f"edgeexpo: nothing is replaced in {name}: {reason}")
            share = 0.0
        elif share:
            level = _levels(cv2, fixed, other, region, mapped)
            frame = _replaced(cv2, frames[reference], frame, region, mapped, level)
        result.append(frame)
        shares.append(share)
        reasons.append(reason)
    return result, Deghosting(reference, tuple(shares), tuple(reasons))


def regions(reference: Picture, frame: Picture, mapped: Mapped) -> Mask:
    """Return the regions of a sensible size in which a frame shows something else.

    A region is a connected part that disagrees, with a disc inside that does so strongly. It does
    not show the same forms in other codes, as colours do that the IMF gets wrong. Gaps and holes
    are closed. The edge is moved outwards by what the comparison does not see there.

    Args:
        reference: HxWx3 float32 in [0, 1], display-encoded.
        frame: HxWx3 float32 in [0, 1], of the same size.
        mapped: The IMF from codes of ``reference`` to codes of ``frame``.

    Returns:
        HxW bool.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    cv2 = opencv.load_opencv()
    by_channel = excess(reference, frame, mapped)
    beyond = by_channel.max(axis=2)
    strong = cv2.morphologyEx(_bytes(beyond > STRONG), cv2.MORPH_OPEN, _disc(cv2, _OPENING))
    if not strong.any():
        return np.zeros(beyond.shape, bool)
    weak = cv2.morphologyEx(_bytes(beyond > 0), cv2.MORPH_CLOSE, _disc(cv2, _OPENING)) | strong
    count, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    found = np.zeros(beyond.shape, bool)
    for label in range(1, count):
        left, top, width, height, area = stats[label]
        box = (slice(top, top + height), slice(left, left + width))
        part = labels[box] == label
        if area < SMALLEST_REGION * beyond.size or not strong[box][part].any():
            continue
        channel = int(by_channel[box][part].sum(axis=0).argmax())
        if _same_forms(cv2, reference[..., channel], frame[..., channel], labels == label):
            continue
        found[box] |= part
    closed = cv2.morphologyEx(_bytes(found), cv2.MORPH_CLOSE, _disc(cv2, _CLOSING))
    filled = _without_holes(cv2, closed)
    return np.asarray(cv2.dilate(filled, _disc(cv2, REACH + 2 * round(_FEATHER))) > 0)


def _same_forms(cv2: Any, reference: Picture, frame: Picture, part: Mask) -> bool:
    """Return whether one channel shows the same forms in a part, or in it and what is around."""
    around = cv2.dilate(_bytes(part), _disc(cv2, _AROUND)) > 0
    return any(_correlation(reference[x], frame[x]) > SAME_FORM for x in (part, around))


def _correlation(first: Picture, second: Picture) -> float:
    """Return the correlation of two arrays (N,), 0 where one is constant."""
    first, second = first - first.mean(), second - second.mean()
    power = float(np.sqrt(np.sum(first**2) * np.sum(second**2)))
    return float(np.sum(first * second)) / power if power > 1e-9 else 0.0


def _without_holes(cv2: Any, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a mask with its holes filled that are smaller than the mask itself."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    inside = (
        (stats[:, cv2.CC_STAT_LEFT] > 0)
        & (stats[:, cv2.CC_STAT_TOP] > 0)
        & (stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH] < mask.shape[1])
        & (stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT] < mask.shape[0])
        & (stats[:, cv2.CC_STAT_AREA] < mask.sum())
    )
    inside[0] = False
    return _bytes((mask > 0) | inside[labels])


def _levels(cv2: Any, fixed: Picture, other: Picture, region: Mask, mapped: Mapped) -> Picture:
    """Return what the frame shows where the reference is clipped, HxWx3, from around the regions.

    It is the mean of the frame's values there, weighted by a Gaussian that widens until it finds
    some (pull-push: S. J. Gortler et al., "The lumigraph", SIGGRAPH 1996). The IMF's highest value
    stands where there are none.
    """
    clipped = (fixed >= HIGHEST / (CODES - 1)) & ~region[..., None]
    weights = clipped.astype(np.float32)
    sums = other * weights
    pyramid = [(sums, weights)]
    while min(pyramid[-1][0].shape[:2]) > 1:
        sums, weights = (cv2.pyrDown(x) for x in pyramid[-1])
        pyramid.append((sums, weights))
    sums, weights = pyramid.pop()
    top = mapped.imf[HIGHEST].astype(np.float32)
    level = np.where(weights > 0, sums / np.maximum(weights, 1e-9), top).astype(np.float32)
    while pyramid:
        sums, weights = pyramid.pop()
        level = cv2.resize(level, sums.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        known = np.minimum(weights, 1)
        level = level * (1 - known) + sums / np.maximum(weights, 1e-9) * known
    return np.asarray(np.maximum(level, top), np.float32)


def _replaced(
    cv2: Any, reference: Picture, frame: Picture, region: Mask, mapped: Mapped, level: Picture
) -> Picture:
    """Return a frame with the reference's content in the regions, in strips of rows."""
    height, width = frame.shape[:2]
    soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), _FEATHER)
    result = frame.copy()
    rows = max(1, STRIP // width)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        share = _enlarged(cv2, soft, (height, width), start, stop)
        touched = share > 1 / CODES
        if not touched.any():
            continue
        levels = _enlarged(cv2, level, (height, width), start, stop)
        source = _calmed(cv2, reference, mapped, start, stop)
        part = result[start:stop]
        for channel in range(3):
            values = source[..., channel][touched]
            shown = looked_up(values, mapped.imf[:, channel])
            unknown = np.clip((values * (CODES - 1) - _UNCLIPPED) / (HIGHEST - _UNCLIPPED), 0, 1)
            shown += unknown * (levels[..., channel][touched] - shown)
            before = part[..., channel][touched]
            part[..., channel][touched] = before + share[touched] * (shown - before)
    return result


def _calmed(cv2: Any, reference: Picture, mapped: Mapped, start: int, stop: int) -> Picture:
    """Return some rows of the reference without the noise that the mapping would amplify.

    A bilateral filter (C. Tomasi, R. Manduchi, ICCV 1998) keeps edges well above the noise, whose
    level is estimated as by J. Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996.
    """
    rows = reference[max(0, start - _CALMING) : stop + _CALMING]
    inner = slice(min(start, _CALMING), min(start, _CALMING) + stop - start)
    gain = np.clip(slopes(mapped.imf).max(axis=1) - 1, 0, 1)
    if not gain.any():
        return rows[inner]
    lines = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    dark = cv2.filter2D(rows, -1, lines)[looked_up(rows, gain) > 0.5]
    noise = float(np.median(np.abs(dark))) / 0.6745 if dark.size else 0.0
    if noise < 0.5 / CODES:
        return rows[inner]
    calm = cv2.bilateralFilter(rows, 2 * _CALMING - 1, 3 * noise, _CALMING / 2)
    return np.asarray((rows + looked_up(rows, gain) * (calm - rows))[inner], np.float32)


def _enlarged(cv2: Any, small: Picture, size: tuple[int, int], start: int, stop: int) -> Picture:
    """Return some rows of a small picture that is enlarged to (height, width), bilinear."""
    height, width = size
    scale = np.array([small.shape[1] / width, small.shape[0] / height])
    offset = (scale - 1) / 2
    matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1] + start * scale[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rows = cv2.warpAffine(
        small, matrix, (width, stop - start), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(rows, np.float32)


def _small(cv2: Any, frame: Picture) -> Picture:
    """Return a frame at no more than :data:`LARGEST` pixels."""
    height, width = frame.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.float32)


def _well_exposed(frame: Picture) -> float:
    return float(np.mean((frame > 0.05) & (frame < 0.95)))


def _bytes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return mask.astype(np.uint8)


def _disc(cv2: Any, radius: int) -> Any:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)


def _check(frames: Sequence[Picture]) -> None:
    if len(frames) < 2:
        raise PictureError(f"found {len(frames)} frames; expected two or more to deghost")
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1 or frames[0].ndim != 3 or frames[0].shape[2] != 3:
        raise PictureError(f"frames have shapes {sorted(shapes)}; expected one size, HxWx3")
