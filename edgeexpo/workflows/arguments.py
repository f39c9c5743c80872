"""Arguments of the verbs' functions as users give them: one or several, texts or paths."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

AnyPath = str | os.PathLike[str]


def several(given: str | Iterable[str]) -> tuple[str, ...]:
    """Turn one text or several into a tuple; a text is never taken letter by letter."""
    return (given,) if isinstance(given, str) else tuple(given)


def paths(given: AnyPath | Iterable[AnyPath]) -> tuple[Path, ...]:
    """Turn one path or several into a tuple of paths."""
    if isinstance(given, (str, os.PathLike)):
        return (Path(given),)
    return tuple(Path(path) for path in given)


def optional_path(given: AnyPath | None) -> Path | None:
    """Turn a path, where one is given, into a :class:`Path`."""
    return None if given is None else Path(given)
