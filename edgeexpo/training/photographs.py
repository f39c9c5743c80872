"""Photographs in files, read on demand as linear light."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from edgeexpo.errors import PictureError
from edgeexpo.failures import reading
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.progress import note

PHOTOGRAPH_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Suffixes of photographs."""

KEPT = 64
"""Number of photographs kept in memory."""


class Photographs(Mapping[str, Picture]):
    """Photographs by name without suffix, each HxWx3 float32 linear light, [0, 1].

    ``damaged`` collects the names of photographs that :meth:`draw` could not read.

    Args:
        files: Files of the photographs by name.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._kept: collections.OrderedDict[str, Picture] = collections.OrderedDict()
        self.damaged: list[str] = []

    def __getitem__(self, name: str) -> Picture:
        if name not in self._kept:
            self._kept[name] = _read(self._files[name])
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def draw(self, rng: np.random.Generator) -> Picture:
        """Return a random photograph, HxWx3 float32 linear light, [0, 1].

        Damaged photographs are skipped. A note on stderr names each of them once and counts them.

        Raises:
            PictureError: No photograph can be read.
        """
        while len(self.damaged) < len(self._files):
            name = list(self._files)[int(rng.integers(len(self._files)))]
            try:
                return self[name]
            except PictureError as error:
                if name not in self.damaged:
                    self.damaged.append(name)
                    note(f"edgeexpo: skipped ({len(self.damaged)} so far): {error}")
        raise PictureError("no photograph of the folder can be read; expected JPEG or PNG files")


def photograph_files(
    folder: Path, wanted: Callable[[str], bool] = lambda _: True
) -> dict[str, Path]:
    """Return the photographs of a folder whose names without suffix are wanted, sorted by name."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTOGRAPH_SUFFIXES)
    return {p.stem: p for p in files if wanted(p.stem)}


def _read(path: Path) -> Picture:
    from PIL import Image

    with (
        reading(path, PictureError, "is not a readable picture", "expected JPEG or PNG"),
        Image.open(path) as image,
    ):
        encoded = np.asarray(image.convert("RGB"), np.float32) / 255
    return np.asarray(srgb_to_linear(encoded), np.float32)
