"""Pictures for calibration, verification and examples, embedded or from the user's folder."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import MissingDependencyError, UsageError
from edgeexpo.imaging.brackets import spread_indices
from edgeexpo.imaging.files import PICTURE_SUFFIXES

EMBEDDED = ("astronaut", "chelsea", "coffee", "motorcycle", "rocket", "retina", "hubble")
"""Short names of the embedded colour photographs, which come in scikit-image's wheel."""

_FILES = {"motorcycle": "motorcycle_left.png", "hubble": "hubble_deep_field.jpg"}
UNSEEN = ("china", "flower", "ihc", "camera", "coins", "moon")
"""Names of photographs in wheels that calibration does not use, for measuring on unseen pictures.

Two are from scikit-learn. A stained section and three greyscale photographs are from
scikit-image."""

EV_SPREAD = 2.0
"""Spread in EV of the darkest and of the brightest frame from the photograph."""

EXPOSURE_ERRORS = (-1.5, -1.0, 0.0, 1.0, 1.5)
"""Exposure errors of single frames, in EV.

They follow M. Afifi et al., "Learning multi-scale photo exposure correction", CVPR 2021."""


@dataclass(frozen=True)
class Sample:
    """One set of frames for a network.

    Attributes:
        name: Name of the file, folder or photograph that the frames come from.
        frames: HxWx3 float32 each, sRGB-encoded, [0, 1], darkest first.
        ev: Exposure difference in EV between the last and the first frame, or ``None`` when
            unknown.
        truth: The exact middle exposure, or the well-exposed photograph behind a single frame,
            HxWx3 float32. ``None`` for brackets and for pictures that are used unchanged.
    """

    name: str
    frames: tuple[np.ndarray, ...]
    ev: float | None
    truth: np.ndarray | None = None


def samples(
    frame_count: int,
    source: Path | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    most: int | None = None,
) -> list[Sample]:
    """Return frames for a network that takes ``frame_count`` pictures.

    Single photographs are re-exposed by the camera simulator with exact EV steps. Sub-folders of
    ``source`` with several pictures are brackets and are used unchanged. If a bracket has more
    frames than the network takes, its darkest, its brightest and evenly spaced frames between
    them are used.

    A network that takes one frame gets each photograph with one of :data:`EXPOSURE_ERRORS`. Some
    errors are 0, because the network has to leave well-exposed pictures unchanged.

    Args:
        frame_count: Number of frames in each sample.
        source: Folder of the user's pictures, or ``None`` for the embedded photographs.
        size: (height, width) that each frame is scaled to cover, then cropped to at its centre.
            ``None`` keeps the size.
        seed: Seed of the simulated camera and of the exposure error. It is combined with the
            photograph's name, so that a sample does not depend on the other photographs.
        most: Number of photographs or brackets that are read. ``None`` reads all.

    Returns:
        One sample for each photograph or bracket that was read.

    Raises:
        UsageError: The folder is missing or has no picture, or a bracket has too few frames or
            frames of different sizes.
        PictureError: A file in the folder cannot be used.
        MissingDependencyError: The embedded photographs are not installed.
    """
    if source is None:
        return [
            _re_exposed(name, picture, frame_count, size, seed)
            for name, picture in itertools.islice(embedded_photographs(), most)
        ]
    return [
        _re_exposed(name, pictures[0], frame_count, size, seed)
        if len(pictures) == 1
        else _bracket(name, pictures, frame_count, size)
        for name, pictures in itertools.islice(_folder(source), most)
    ]


def unseen(frame_count: int, size: tuple[int, int], seed: int = 0) -> list[Sample]:
    """Return samples from the photographs in :data:`UNSEEN`, made as in :func:`samples`.

    Args:
        frame_count: Number of frames in each sample.
        size: (height, width) that each frame is scaled to cover, then cropped to at its centre.
        seed: Seed of the simulated camera and of the exposure error.

    Raises:
        MissingDependencyError: scikit-image or scikit-learn is not installed.
    """
    import importlib.util

    from PIL import Image

    folders = {"skimage": "data", "sklearn": "datasets/images"}
    found = {name: importlib.util.find_spec(name) for name in folders}
    files: dict[str, Path] = {}
    for name, spec in found.items():
        if spec is None or spec.origin is None:
            raise MissingDependencyError(
                f"the photographs for judging come with {name}, which is not installed; "
                "pip install 'edgeexpo[export]'"
            )
        folder = Path(spec.origin).parent / folders[name]
        files |= {f.stem: f for f in sorted(folder.iterdir()) if f.suffix in PICTURE_SUFFIXES}
    pictures = {name: np.asarray(Image.open(files[name]).convert("RGB")) for name in UNSEEN}
    return [_re_exposed(name, p, frame_count, size, seed) for name, p in pictures.items()]


def embedded_photographs() -> Iterator[tuple[str, np.ndarray]]:
    """Yield the embedded photographs: (name, HxWx3 uint8, sRGB-encoded).

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    from edgeexpo.imaging.files import read_picture

    for name, file in embedded_files().items():
        yield name, read_picture(file)


def embedded_files() -> dict[str, Path]:
    """Return the files of the embedded photographs by name.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    try:
        import skimage
    except ImportError as error:
        raise MissingDependencyError(
            "the embedded photographs come with scikit-image, which is not installed; "
            "pip install 'edgeexpo[export]', or name your own pictures with `images`"
        ) from error
    folder = Path(skimage.__file__).parent / "data"
    files = {}
    for name in EMBEDDED:
        candidates = (folder / f for f in (_FILES.get(name, ""), f"{name}.png", f"{name}.jpg"))
        files[name] = next(f for f in candidates if f.is_file())
    return files


def _folder(source: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    from edgeexpo.imaging.files import read_picture

    if not source.is_dir():
        raise UsageError(f"no folder at {source}; expected one with photographs or brackets")
    found = False
    for entry in sorted(source.iterdir()):
        files = [entry] if entry.is_file() else sorted(entry.iterdir())
        files = [f for f in files if f.suffix.lower() in PICTURE_SUFFIXES and f.stem != "reference"]
        if files:
            found = True
            yield entry.name, [read_picture(f) for f in files]
    if not found:
        raise UsageError(
            f"{source} has no picture; expected {', '.join(PICTURE_SUFFIXES)} or sub-folders"
        )


def _re_exposed(
    name: str, picture: np.ndarray, count: int, size: tuple[int, int] | None, seed: int
) -> Sample:
    from edgeexpo.imaging.camera import re_expose

    photograph = to_float(picture if size is None else cover(picture, size))
    seed += zlib.crc32(name.encode())
    if count == 1:
        return Sample(name, (_wrongly_exposed(photograph, seed),), None, photograph)
    evs = [float(ev) for ev in np.linspace(-EV_SPREAD, EV_SPREAD, count)]
    shots = re_expose(photograph, [*evs, 0.0], seed=seed)
    return Sample(name, tuple(shots[:-1]), evs[-1] - evs[0], shots[-1])


def _wrongly_exposed(photograph: np.ndarray, seed: int) -> np.ndarray:
    from edgeexpo.imaging.camera import Camera
    from edgeexpo.imaging.color import srgb_to_linear
    from edgeexpo.imaging.response import srgb

    rng = np.random.default_rng(seed)
    # With a response other than the photograph's, the frame at 0 EV would not be the photograph.
    camera = dataclasses.replace(Camera.random(rng), table=srgb())
    return camera.shoot(
        np.asarray(srgb_to_linear(photograph)), float(rng.choice(EXPOSURE_ERRORS)), rng
    )


def _bracket(
    name: str, pictures: list[np.ndarray], count: int, size: tuple[int, int] | None
) -> Sample:
    shapes = {p.shape for p in pictures}
    if len(shapes) != 1:
        raise UsageError(f"bracket {name} has frames of different sizes: {sorted(shapes)}")
    if len(pictures) < count:
        raise UsageError(f"bracket {name} has {len(pictures)} frames; the network takes {count}")
    ordered = sorted(pictures, key=lambda p: float(p.mean()))
    chosen = [ordered[i] for i in spread_indices(len(ordered), count)]
    frames = tuple(to_float(p if size is None else cover(p, size)) for p in chosen)
    return Sample(name, frames, None)


def to_float(picture: np.ndarray) -> np.ndarray:
    """Return integer codes as float32 in [0, 1], and float values unchanged as float32."""
    if picture.dtype.kind == "f":
        return picture.astype(np.float32, copy=False)
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def cover(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture to cover (height, width) with its aspect ratio, and crop it at the centre.

    Args:
        picture: HxWx3 uint8, uint16, or float in [0, 1].
        size: Height and width of the result, in pixels.

    Returns:
        height x width x 3 uint8, Lanczos-filtered, in the picture's encoding.
    """
    from PIL import Image

    height, width = size
    scale = max(height / picture.shape[0], width / picture.shape[1])
    scaled = (
        max(width, round(picture.shape[1] * scale)),
        max(height, round(picture.shape[0] * scale)),
    )
    codes: Any = picture if picture.dtype == np.uint8 else (to_float(picture) * 255).round()
    image = Image.fromarray(codes.astype(np.uint8)).resize(scaled, Image.Resampling.LANCZOS)
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return np.asarray(image)[top : top + height, left : left + width].copy()
