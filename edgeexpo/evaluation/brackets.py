"""Scenes from folders of real brackets: order, exposure values, reference and choice of frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.bundle.untrusted import read_json
from edgeexpo.errors import PictureError, UsageError
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.brackets import spread_indices
from edgeexpo.imaging.files import is_picture, read_exposure, read_picture
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.samples import to_float
from edgeexpo.spec import ModelSpec

EXPOSURES_FILE = "exposures.json"
"""File name of the exposure list beside the brackets.

The file contains ``{"folder": [{"file": "1.jpg", "ev": -2.0}, ...]}``."""

_LARGEST_EV = 99
"""Largest EV, of either sign, that an exposure list may give."""

_MOST_EXPOSURES = 16
"""Largest number of pictures of one scene."""

_SAME_SCENE, _BRIGHTER, _THUMBNAIL = 0.8, 1.3, 32
"""Least rank correlation of exposures of one scene, and least factor between their mean levels.

The side in pixels of the copies that are compared comes last."""

OFF_CENTRE = 0.25
"""Distance in EV from half way at which a frame is no longer held out as the middle frame."""


@dataclass(frozen=True)
class Bracket:
    """One bracket read from a folder.

    Attributes:
        name: Name of the folder.
        files: File names of the frames, darkest first.
        frames: Frames in the same order, HxWx3 float32, sRGB-encoded, [0, 1].
        evs: Exposures of the frames in EV, or ``None`` when unknown.
        reference: True picture of the frames' size, or ``None`` when there is no reference.
    """

    name: str
    files: tuple[str, ...]
    frames: tuple[Picture, ...]
    evs: tuple[float, ...] | None
    reference: Picture | None


def is_bracket(folder: Path) -> bool:
    """Return True for a folder with a picture directly in it."""
    return folder.is_dir() and any(is_picture(f) for f in folder.iterdir())


def is_one_bracket(folder: Path) -> bool:
    """Return True for a folder whose pictures are exposures of one scene.

    They have one size, and whatever the exposure, lighter places are lighter in all of them: the
    rank correlation of neighbours in brightness is at least :data:`_SAME_SCENE`. A picture that
    cannot be read, such as one of many formats of a radiance map, makes it False.
    """
    files = sorted(f for f in folder.iterdir() if is_picture(f) and f.stem.lower() != "reference")
    if not 2 <= len(files) <= _MOST_EXPOSURES:
        return False
    try:
        pictures = [to_float(read_picture(file)) for file in files]
    except PictureError:
        return False
    if len({picture.shape for picture in pictures}) > 1:
        return False
    lumas = sorted((_thumbnail(picture) for picture in pictures), key=np.mean)
    if np.mean(lumas[-1]) < _BRIGHTER * np.mean(lumas[0]):
        return False
    return all(_rank_correlation(a, b) >= _SAME_SCENE for a, b in itertools.pairwise(lumas))


def _thumbnail(picture: Picture) -> Picture:
    """Return the luminance of a small copy as a vector."""
    return np.asarray(resize(picture, (_THUMBNAIL, _THUMBNAIL)).mean(2).ravel(), np.float32)


def _rank_correlation(a: Picture, b: Picture) -> float:
    """Return Spearman's rank correlation, which no monotone change of exposure lowers."""
    ranks = [np.unique(v, return_inverse=True)[1] for v in (np.round(a, 3), np.round(b, 3))]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def bracket_scenes(source: Path, spec: ModelSpec, skipped: Skipped) -> Iterator[Scene]:
    """Yield the scenes that the sub-folders of ``source`` give for a network.

    Args:
        source: Folder of brackets, with an optional :data:`EXPOSURES_FILE`. Or one bracket, whose
            exposures are listed in the folder above it.
        spec: Spec of the network, which decides how many frames it takes and what the truth is.
        skipped: Collector that is told of every file that cannot be read.

    Raises:
        UsageError: A bracket has too few frames, its order contradicts its exposures, or
            :data:`EXPOSURES_FILE` is invalid.
        PictureError: Frames of one bracket differ in size.
    """
    folders = sorted(f for f in source.iterdir() if is_bracket(f))
    listed = _exposures(source if folders else source.resolve().parent)
    for folder in folders or [source.resolve()]:
        bracket = read_bracket(folder, listed.get(folder.name), skipped)
        if bracket is not None:
            yield from _scenes(bracket, spec)


def read_bracket(
    folder: Path, listed: Sequence[Mapping[str, Any]] | None, skipped: Skipped
) -> Bracket | None:
    """Read the bracket in one folder.

    The frames are ordered by the EVs in ``exposures.json``, else by the EVs in their EXIF data,
    else by luminance.

    Args:
        folder: Folder of the frames, with a file ``reference.*`` if there is a true picture.
        listed: Entries of ``exposures.json`` for the folder. If given, only its files are read.
        skipped: Collector that is told of every file that is left out.

    Returns:
        The bracket, or ``None`` when its reference or all of its frames cannot be read.

    Raises:
        UsageError: ``exposures.json`` lacks a file or an EV, or contradicts the pictures.
        PictureError: The frames differ in size.
    """
    files = sorted(f for f in folder.iterdir() if is_picture(f))
    reference_files = [f for f in files if f.stem.lower() == "reference"]
    evs = None if listed is None else _listed_evs(folder, listed)
    frames: dict[str, Picture] = {}
    for file in (f for f in files if f not in reference_files and (evs is None or f.name in evs)):
        picture = _read(file, skipped)
        if picture is not None:
            frames[file.name] = picture
    reference = _read(reference_files[0], skipped) if reference_files else None
    if not frames or (reference_files and reference is None):
        return None
    _check_sizes(folder, frames, reference)
    if evs is None:
        evs = _exif_evs(folder, list(frames))
    ranks = evs or {name: _luminance(picture) for name, picture in frames.items()}
    order = sorted(frames, key=lambda name: ranks[name])
    ordered = tuple(frames[name] for name in order)
    known = None if evs is None else tuple(evs[name] for name in order)
    if known is not None:
        _check_order(folder, order, ordered, known)
    return Bracket(folder.name, tuple(order), ordered, known, reference)


def _scenes(bracket: Bracket, spec: ModelSpec) -> Iterator[Scene]:
    frames, evs = bracket.frames, bracket.evs
    if spec.kind == "reconstruction":
        for file, frame in zip(bracket.files, frames, strict=True):
            yield Scene(f"{bracket.name}/{file}", ("frames",), (frame,), frame, "photograph")
        return
    truth, kind, given = bracket.reference, "reference", list(range(len(frames)))
    if truth is None:
        middle = _middle(len(frames), evs)
        truth, kind = (None, "none") if middle is None else (frames[middle], "middle frame")
        given = [i for i in given if i != middle]
    count = len(spec.frames)
    if len(given) < count:
        raise UsageError(
            f"bracket {bracket.name} has {len(given)} frame(s) beside its truth; {spec.name} takes "
            f"{count}: {', '.join(spec.frames)}"
        )
    group = {"reference": "brackets, reference", "none": "brackets, no truth"}.get(
        kind, "brackets, middle frame"
    )
    for chosen in _choices(given, count):
        ev = None if evs is None or count < 2 else evs[chosen[-1]] - evs[chosen[0]]
        yield Scene(
            name=bracket.name if count > 1 else f"{bracket.name}/{bracket.files[chosen[0]]}",
            groups=(group,),
            frames=tuple(frames[i] for i in chosen),
            truth=truth,
            truth_kind=kind,
            ev=ev,
            given=tuple(frames[i] for i in given) if count > 1 else (),
            stack=frames,
        )


def _choices(given: Sequence[int], count: int) -> list[list[int]]:
    """Return the choices of frames that a network takes.

    A network of one frame gets each frame. Other networks get evenly spaced frames from the
    darkest to the brightest.
    """
    if count == 1:
        return [[i] for i in given]
    return [[given[i] for i in spread_indices(len(given), count)]]


def _middle(count: int, evs: Sequence[float] | None) -> int | None:
    """Return the index of the frame to hold out, or ``None``.

    It is the frame nearest to half way in EV. Without EVs it is the middle frame of an odd number.
    """
    if count < 3:
        return None
    if evs is None:
        return count // 2 if count % 2 else None
    half = (evs[0] + evs[-1]) / 2
    nearest = min(range(1, count - 1), key=lambda i: abs(evs[i] - half))
    return nearest if abs(evs[nearest] - half) < OFF_CENTRE else None


def _exposures(source: Path) -> Mapping[str, Any]:
    path = source / EXPOSURES_FILE
    if not path.is_file():
        return {}
    try:
        listed = read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not readable JSON ({error}); correct or remove it") from error
    if not isinstance(listed, dict):
        raise UsageError(
            f"{path} holds a {type(listed).__name__}; expected folder -> list of files"
        )
    for name, entries in listed.items():
        if not isinstance(entries, list):
            raise UsageError(
                f"{path} gives {name!r} a {type(entries).__name__}; expected a list of files"
            )
    return listed


def _listed_evs(folder: Path, listed: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    evs: dict[str, float] = {}
    for entry in listed:
        name = entry.get("file") if isinstance(entry, Mapping) else None
        ev: Any = entry.get("ev") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not (folder / name).is_file():
            raise UsageError(
                f"{EXPOSURES_FILE} names {name!r}, which {folder} does not have; correct it"
            )
        known = isinstance(ev, (int, float)) and not isinstance(ev, bool)
        if not known or not -_LARGEST_EV <= ev <= _LARGEST_EV:
            raise UsageError(
                f"{EXPOSURES_FILE} gives {folder.name}/{name} the EV {ev!r}; expected a number, or "
                "remove the folder's entry to go by EXIF or luminance"
            )
        evs[name] = float(ev)
    return evs


def _exif_evs(folder: Path, names: Sequence[str]) -> dict[str, float] | None:
    found = {name: read_exposure(folder / name) for name in names}
    evs = {name: ev for name, ev in found.items() if ev is not None}
    if len(evs) < len(names) or max(evs.values()) - min(evs.values()) < 0.1:
        return None
    return evs


def _check_sizes(folder: Path, frames: Mapping[str, Picture], reference: Picture | None) -> None:
    (first, expected), *_ = frames.items()
    others = [*frames.items(), *([] if reference is None else [("reference", reference)])]
    for name, picture in others:
        if picture.shape != expected.shape:
            found, wanted = ("x".join(map(str, p.shape[:2])) for p in (picture, expected))
            raise PictureError(
                f"bracket {folder.name}: {name} is {found} (HxW), {first} is {wanted}; "
                "expected frames of one size: crop or scale them"
            )


def _check_order(
    folder: Path, names: Sequence[str], frames: Sequence[Picture], evs: Sequence[float]
) -> None:
    levels = [_luminance(frame) for frame in frames]
    for i, j in itertools.pairwise(range(len(frames))):
        if evs[j] - evs[i] > 0.5 and levels[j] < levels[i]:
            raise UsageError(
                f"bracket {folder.name}: {names[j]} should be {evs[j] - evs[i]:.1f} EV brighter "
                f"than {names[i]} and is darker; correct the order or the EVs"
            )


def _read(file: Path, skipped: Skipped) -> Picture | None:
    try:
        return to_float(read_picture(file))
    except PictureError as error:
        skipped(str(file), str(error))
        return None


def _luminance(picture: Picture) -> float:
    return float(picture.mean(axis=(0, 1)) @ [0.2126, 0.7152, 0.0722])
