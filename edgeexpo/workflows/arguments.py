"""Arguments as users give them to the public functions: one value or several, text or path."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

AnyPath = str | os.PathLike[str]
"""Type of a path as a user gives it."""


def several(given: str | Iterable[str]) -> tuple[str, ...]:
    """Turn one text or several texts into a tuple. A single text is never split into letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def paths(given: AnyPath | Iterable[AnyPath]) -> tuple[Path, ...]:
    """Turn one path or several paths into a tuple of :class:`Path`."""
    if isinstance(given, (str, os.PathLike)):
        return (Path(given),)
    return tuple(Path(path) for path in given)


def optional_path(given: AnyPath | None) -> Path | None:
    """Turn a path into a :class:`Path`, and leave ``None`` as it is."""
    return None if given is None else Path(given)
