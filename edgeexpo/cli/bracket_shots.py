"""The shots of one bracket made ready for a network: aligned, cropped and deghosted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class ShotReport:
    """What was done to one shot before the network saw it.

    Attributes:
        file: The shot.
        moved: Distance in pixels by which alignment moved the corner that moved most. ``None``
            where the shots were not aligned.
        correlation: Correlation with the best exposed shot after alignment, -1 to 1, or ``None``.
        replaced: Share of the picture that deghosting replaced, 0 to 1. ``None`` without it.
        left_alone: Why the shot was not aligned or not deghosted, if it was to be.
    """

    file: str
    moved: float | None = None
    correlation: float | None = None
    replaced: float | None = None
    left_alone: str | None = None

    def __str__(self) -> str:
        """Return a line for a person, empty where nothing was done and nothing was in the way."""
        said = [] if self.left_alone is None else [f"left alone: {self.left_alone}"]
        if self.moved:
            said.append(f"moved by {self.moved:.1f} px")
        if self.replaced:
            said.append(f"{self.replaced:.1%} replaced, as it moved between the shots")
        return f"{self.file}: {'; '.join(said)}" if said else ""


def prepared(
    ordered: Sequence[tuple[Path, np.ndarray]],
    indices: Sequence[int],
    *,
    align: bool,
    deghost: bool,
) -> tuple[list[np.ndarray], list[ShotReport]]:
    """Align the shots of a bracket, crop what not all of them show, and take ghosts out.

    Args:
        ordered: The files and frames HxWx3 of the bracket, darkest first, 8 or 16 bits.
        indices: Indices of two or more shots that the network takes.
        align: Align every shot with the best exposed one.
        deghost: Take what moved from the best exposed one of ``indices``.

    Returns:
        The frames of ``indices`` with the data type of the first frame, and a report of each.

    Raises:
        MissingDependencyError: OpenCV is not installed, and either is asked for.
    """
    import numpy as np

    from edgeexpo.imaging.samples import to_float

    files = [str(ordered[i][0]) for i in indices]
    reports = [ShotReport(file) for file in files]
    originals = [ordered[i][1] for i in indices]
    if align:
        pictures, reports = _aligned(ordered, indices)
    elif deghost:
        pictures = [to_float(frame) for frame in originals]
    else:
        return originals, reports
    if deghost:
        pictures, reports = _deghosted(pictures, reports)
    kind = originals[0].dtype
    top = np.iinfo(kind).max
    return [np.rint(np.clip(picture, 0, 1) * top).astype(kind) for picture in pictures], reports


def _aligned(
    ordered: Sequence[tuple[Path, np.ndarray]], indices: Sequence[int]
) -> tuple[list[np.ndarray], list[ShotReport]]:
    from edgeexpo.imaging.alignment import align, common_window
    from edgeexpo.imaging.deghosting import best_exposed
    from edgeexpo.imaging.samples import to_float

    pictures = [to_float(frame) for _, frame in ordered]
    names = [str(file) for file, _ in ordered]
    moved, found = align(pictures, reference=best_exposed(pictures), in_order=True, names=names)
    window = common_window(found.valid)
    reports = [
        ShotReport(names[i], found.reach(i), found.confidences[i], left_alone=found.reasons[i])
        for i in indices
    ]
    return [moved[i][window] for i in indices], reports


def _deghosted(
    pictures: Sequence[np.ndarray], reports: Sequence[ShotReport]
) -> tuple[list[np.ndarray], list[ShotReport]]:
    from dataclasses import replace

    from edgeexpo.imaging.deghosting import deghost

    result, found = deghost(pictures, names=[report.file for report in reports])
    return result, [
        replace(report, replaced=share, left_alone=report.left_alone or reason)
        for report, share, reason in zip(reports, found.replaced, found.reasons, strict=True)
    ]
