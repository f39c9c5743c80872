"""Grouping of the shots in a camera's folder into exposure brackets."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.imaging.files import is_picture, read_exposure, read_time

PAUSE = 3.0
"""Longest pause between two shots of one bracket, in seconds."""

SAME = 0.1
"""Difference in EV below which two exposures count as the same exposure.

A shot that repeats an exposure of its bracket begins the next bracket."""


@dataclass(frozen=True)
class Shots:
    """One bracket.

    Attributes:
        name: Name of the picture that the bracket becomes.
        files: Picture files, ordered by name in a sub-folder and by EXIF time otherwise.
    """

    name: str
    files: tuple[Path, ...]


def brackets(folder: Path) -> list[Shots]:
    """Find the brackets in a folder.

    Every sub-folder with two pictures or more is one bracket. A file named ``reference.*`` does
    not count as one of its shots.

    Pictures directly in the folder are ordered by their EXIF times. A bracket ends where the
    camera paused for more than :data:`PAUSE` seconds, or where an exposure is repeated. Single
    shots are left out.

    Raises:
        UsageError: The folder is missing or has no bracket, or a picture directly in the folder
            has no EXIF time or exposure.
        PictureError: A picture is damaged.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; expected a folder of bracketed shots")
    found = [
        Shots(inner.name, tuple(f for f in _pictures(inner) if f.stem.lower() != "reference"))
        for inner in sorted(folder.iterdir())
        if inner.is_dir()
    ]
    found += _grouped(_pictures(folder))
    several = [shots for shots in found if len(shots.files) > 1]
    if not several:
        raise UsageError(
            f"{folder} has no bracket; expected sub-folders of two pictures or more, or pictures "
            "with EXIF times and exposures"
        )
    return several


def _pictures(folder: Path) -> list[Path]:
    return sorted(filter(is_picture, folder.iterdir()))


@dataclass(frozen=True, order=True)
class _Shot:
    time: datetime.datetime
    exposure: float
    file: Path


def _grouped(files: Sequence[Path]) -> Iterator[Shots]:
    group: list[_Shot] = []
    for shot in sorted(_shot(file) for file in files):
        if group and _begins(shot, group):
            yield _named(group)
            group = []
        group.append(shot)
    if group:
        yield _named(group)


def _shot(file: Path) -> _Shot:
    time, exposure = read_time(file), read_exposure(file)
    if time is None or exposure is None:
        raise UsageError(
            f"{file} has no EXIF {'time' if time is None else 'exposure'}, so its bracket is "
            "unknown; put every bracket into a sub-folder of its own"
        )
    return _Shot(time, exposure, file)


def _begins(shot: _Shot, group: Sequence[_Shot]) -> bool:
    """Return True when ``shot`` begins a new bracket after the shots in ``group``."""
    pause = (shot.time - group[-1].time).total_seconds()
    return pause > PAUSE or any(abs(shot.exposure - other.exposure) < SAME for other in group)


def _named(group: Sequence[_Shot]) -> Shots:
    return Shots(group[0].file.stem, tuple(shot.file for shot in group))


def spread_indices(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` indices into ``count`` frames, evenly spaced from the first to the last.

    One wanted index is that of the first frame.
    """
    return [round(float(i)) for i in np.linspace(0, count - 1, wanted)]


def names_are_unique(found: Sequence[Shots]) -> None:
    """Raise :class:`UsageError` when two brackets share the name of their pictures."""
    for name, same in itertools.groupby(sorted(shots.name for shots in found)):
        if len(list(same)) > 1:
            raise UsageError(f"two brackets are called {name!r}; rename a folder or a file")
