"""The cache of artefacts on the other machine: every artefact under its digest."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from edgeexpo.bundle.files import digest

KEPT_DAYS = 30
"""Number of days after which an artefact that was not used is removed."""


class Store:
    """Artefacts in ``folder/artefacts/DIGEST/NAME``, written in one step and checked on use.

    Args:
        folder: The cache folder of :mod:`edgeexpo.remote`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "artefacts"

    def find(self, sha256: str, name: str) -> Path | None:
        """Return the path of an artefact, or ``None`` if it is not here or was changed."""
        place = self._place(sha256)
        path = place / _plain(name)
        if not path.exists():
            return None
        if digest(path) != sha256:
            shutil.rmtree(place, ignore_errors=True)
            return None
        os.utime(place)
        return path

    def put(
        self,
        sha256: str,
        name: str,
        files: Sequence[tuple[str, int]],
        read: Callable[[int], bytes],
    ) -> Path:
        """Write an artefact and return its path.

        Args:
            sha256: The artefact's digest.
            name: The name of its file or folder.
            files: Path and size of every file. The path is relative to a folder, and empty for an
                artefact that is one file.
            read: Function that returns the next bytes.

        Raises:
            OSError: The disk refuses.
            ValueError: A name leads out of the folder, or the bytes do not have the digest.
        """
        self.remove_old()
        place, name = self._place(sha256), _plain(name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._folder))
        try:
            for relative, size in files:
                target = staging / name / _inside(relative) if relative else staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as stream:
                    while size:
                        part = read(min(size, 1 << 20))
                        stream.write(part)
                        size -= len(part)
            if digest(staging / name) != sha256:
                raise ValueError("the artefact arrived damaged")
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):  # another session was faster
                os.rename(staging, place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        found = self.find(sha256, name)
        if found is None:
            raise ValueError("the artefact cannot be kept")
        return found

    def remove_old(self) -> None:
        """Remove what was not used for :data:`KEPT_DAYS` days."""
        oldest = time.time() - KEPT_DAYS * 86400
        for entry in self._folder.glob("*") if self._folder.is_dir() else ():
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < oldest:
                    shutil.rmtree(entry, ignore_errors=True)

    def _place(self, sha256: str) -> Path:
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise ValueError("no digest")
        return self._folder / sha256


def _plain(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} is no file name")
    return name


def _inside(relative: str) -> PurePosixPath:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\\" in relative or "\0" in relative:
        raise ValueError(f"{relative!r} leads out of its folder")
    return path
