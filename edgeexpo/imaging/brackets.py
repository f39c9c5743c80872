"""Grouping of the shots in a camera's folder into exposure brackets."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.imaging.files import is_picture, read_settings, read_time
from edgeexpo.imaging.shot_settings import Settings, exposures

PAUSE = 3.0
"""Longest pause between the end of a shot and the next of its bracket, in seconds."""

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

    Pictures directly in the folder are ordered by their EXIF times, which are those of the
    beginning of the exposure. Equal times are ordered by file name. A bracket ends where the
    camera paused for more than :data:`PAUSE` seconds after an exposure ended, or where an
    exposure is repeated. Single shots are left out (:func:`left_out`).

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


def left_out(folder: Path, found: Sequence[Shots]) -> list[Path]:
    """Return the pictures of a folder and of its sub-folders that no bracket in ``found`` has.

    Files named ``reference.*`` in sub-folders are no shots, and are not returned.
    """
    used = {file for shots in found for file in shots.files}
    inner = [f for d in sorted(folder.iterdir()) if d.is_dir() for f in _pictures(d)]
    shots = [f for f in inner if f.stem.lower() != "reference"] + _pictures(folder)
    return [file for file in shots if file not in used]


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people count: ``IMG_9`` comes before ``IMG_10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _pictures(folder: Path) -> list[Path]:
    return sorted(filter(is_picture, folder.iterdir()))


@dataclass(frozen=True)
class _Shot:
    """A shot with the time when its exposure began."""

    time: datetime.datetime
    settings: Settings
    file: Path


def _grouped(files: Sequence[Path]) -> Iterator[Shots]:
    group: list[_Shot] = []
    for shot in sorted(map(_shot, files), key=lambda s: (s.time, natural(s.file.name))):
        if group and _begins(shot, group):
            yield _named(group)
            group = []
        group.append(shot)
    if group:
        yield _named(group)


def _shot(file: Path) -> _Shot:
    time, settings = read_time(file), read_settings(file)
    if time is None or exposures([settings]) is None:
        raise UsageError(
            f"{file} has no EXIF {'time' if time is None else 'exposure'}, so its bracket is "
            "unknown; put every bracket into a sub-folder of its own"
        )
    return _Shot(time, settings, file)


def _begins(shot: _Shot, group: Sequence[_Shot]) -> bool:
    """Return True when ``shot`` begins a new bracket after the shots in ``group``."""
    pause = (shot.time - group[-1].time).total_seconds() - (group[-1].settings.time or 0)
    return pause > PAUSE or any(_same(shot.settings, other.settings) for other in group)


def _same(settings: Settings, others: Settings) -> bool:
    evs = exposures([settings, others])
    return evs is not None and abs(evs[0] - evs[1]) < SAME


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
