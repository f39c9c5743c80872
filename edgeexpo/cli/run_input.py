"""The input of ``edgeexpo run``: read pictures, put them in order and open the session."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import PictureError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.progress import note
from edgeexpo.targets import target_named

if TYPE_CHECKING:
    import numpy as np

    from edgeexpo.runtime import Session


FILES = FrameFormat()
"""Format of pictures that were read from files, whatever frames the bundle's app gives."""


SAME_LUMINANCE = 0.01
"""Relative difference of mean luminances up to which two frames count as of one exposure."""

NamedPicture = tuple[Path, "np.ndarray"]
"""Picture HxWx3 of 8 or 16 bits, with its file."""


def made_by(session: Session, engine: str) -> dict[str, str]:
    """Return the entries of ``--json`` about the artefact and the engine that made a picture."""
    artifact = session.artifact
    return {
        "target": artifact.target,
        "precision": artifact.precision,
        "status": artifact.status,
        "engine": engine,
    }


def read_pictures(paths: Sequence[Path], keep_p3: bool = False) -> list[NamedPicture]:
    """Read the pictures of one bracket and convert them to sRGB.

    With ``keep_p3``, pictures in Display P3 stay in Display P3. Where one shot's EXIF orientation
    differs from the others' although its pixels agree with theirs, it is turned as they are, and
    named on stderr.

    Raises:
        PictureError: A picture cannot be read, or the pictures differ in size or bit depth. With
            ``keep_p3``, also when only some of them are in Display P3.
    """
    from edgeexpo.imaging.files import has_unknown_colours, read_p3_profile, read_picture

    for path in filter(has_unknown_colours, paths):
        note(
            f"edgeexpo: {path} says by EXIF data that it is not sRGB, but not what it is; it is "
            "taken as sRGB"
        )
    for path in paths:
        _note_unused(path)
    if keep_p3:
        wide = {read_p3_profile(path) is not None: path for path in paths}
        if len(wide) == 2:
            raise PictureError(
                f"{wide[True]} is in Display P3, {wide[False]} is not; expected pictures of one "
                "profile: leave out --keep-p3, and all are converted to sRGB"
            )
    orientation = _common_orientation(paths)
    frames = [
        (path, read_picture(path, keep_p3=keep_p3, orientation=orientation)) for path in paths
    ]
    (first, reference), *others = frames
    for path, picture in others:
        if picture.shape != reference.shape or picture.dtype != reference.dtype:
            raise PictureError(
                f"{path} is {_size(picture)}, {first} is {_size(reference)}; "
                "expected pictures of one size and bit depth"
            )
    return frames


def _note_unused(path: Path) -> None:
    """Say on stderr what of a file's light is not used: a gain map, or bits beyond the eighth."""
    from edgeexpo.imaging.files import read_bits, read_gain_map

    stated, used = read_bits(path)
    if stated > used:
        note(f"edgeexpo: {path} has {stated} bits a channel, of which {used} are used")
    gain_map = read_gain_map(path)
    if gain_map is not None:
        unknown = "" if gain_map.known else ", which is unknown here"
        note(
            f"edgeexpo: {path} has a gain map ({gain_map}{unknown}); its picture for ordinary "
            "displays (SDR) is used and the gain map is left out"
        )


def _common_orientation(paths: Sequence[Path]) -> int | None:
    """Return the orientation for all shots where only their EXIF data disagree, and say it."""
    from edgeexpo.imaging.files import read_orientation, read_picture
    from edgeexpo.imaging.mixed_orientations import common_orientation

    found = [read_orientation(path) for path in paths]
    if len(set(found)) < 2:
        return None
    common = common_orientation([read_picture(path, orientation=1) for path in paths], found)
    if common is not None:
        odd = [f"{p} ({o})" for p, o in zip(paths, found, strict=True) if o != common]
        note(
            f"edgeexpo: the EXIF orientation of {', '.join(odd)} differs from the others', the "
            f"pixels agree with theirs; all are turned by orientation {common}"
        )
    return common


def order(
    frames: Sequence[NamedPicture], *, quiet: bool = False
) -> tuple[list[NamedPicture], float | None]:
    """Put a bracket in order, darkest first, and find its EV.

    EXIF exposures decide the order when they can be compared and differ. A setting that no picture
    tells, as the aperture of a lens without contacts, counts as the same for all. Otherwise the
    mean luminance decides the order. A change of the caller's order is noted on stderr, unless
    ``quiet`` is true.

    Returns:
        The frames in order, and log2 of the exposure ratio of the last frame and the first. The
        ratio is ``None`` when it is unknown.
    """
    from edgeexpo.imaging.files import read_settings
    from edgeexpo.imaging.shot_settings import exposures

    found = exposures([read_settings(path) for path, _ in frames])
    if found is not None and max(found) - min(found) > 0.1:
        ranks = found
        ev: float | None = max(found) - min(found)
    else:
        ranks, ev = [_luminance(picture) for _, picture in frames], None
    by_rank = sorted(range(len(frames)), key=lambda i: ranks[i])
    if by_rank != list(range(len(frames))) and not quiet:
        names = ", ".join(str(frames[i][0]) for i in by_rank)
        reason = "mean luminance" if ev is None else "EXIF exposure"
        note(f"edgeexpo: the pictures were put in order of their {reason}: {names}")
    return [frames[i] for i in by_rank], ev


def note_same_exposure(frames: Sequence[NamedPicture]) -> None:
    """Say on stderr which neighbours of a bracket have one exposure, as nothing is won by them.

    EXIF exposures decide where they can be compared, else the mean luminances.

    Args:
        frames: The frames that the network takes, darkest first.
    """
    from edgeexpo.imaging.brackets import SAME
    from edgeexpo.imaging.files import read_settings
    from edgeexpo.imaging.shot_settings import exposures

    found = exposures([read_settings(path) for path, _ in frames])
    for index, ((path, picture), (other, brighter)) in enumerate(pairwise(frames)):
        if found is not None:
            same = abs(found[index + 1] - found[index]) < SAME
        else:
            same = _luminance(brighter) <= _luminance(picture) * (1 + SAME_LUMINANCE)
        if same:
            note(
                f"edgeexpo: {path} and {other} have the same exposure; expected different ones, "
                "as the result shows hardly more than one of them does"
            )


def open_session(
    args: argparse.Namespace,
    frames: FrameFormat = FILES,
    output: FrameFormat = FILES,
) -> Session:
    """Open the artefact that the options select.

    Where the artefact's engine does not run on this platform, an interpreter runs the artefact.

    Args:
        args: The verb's arguments.
        frames: Format of the frames, as for :func:`edgeexpo.runtime.load`.
        output: Format of the pictures that are given, as for :func:`edgeexpo.runtime.load`.

    Raises:
        BundleError: The bundle has no such artefact, or a file differs from its digest.
        UsageError: The memory limit is too small for the smallest window.
        MissingDependencyError: The engine, or torch for the interpreter, is not installed.
        EngineError: The engine refuses the artefact.
        HostError: The machine of ``--on`` cannot be reached, or was lost.
    """
    from edgeexpo.runtime import load
    from edgeexpo.runtime.engine_choice import choices
    from edgeexpo.runtime.engines.base import Engine, EngineOptions, interpreter

    target, precision = args.target, args.precision
    if args.on is not None:
        from edgeexpo.remote.session import load_on

        return load_on(
            args.bundle,
            args.on,
            target=target,
            precision=precision,
            engine=args.engine,
            threads=args.threads,
            memory_mb=args.memory_mb,
            frames=frames,
            output=output,
        )
    engine: Engine | str | None = args.engine
    bundle = Bundle.open(args.bundle)
    found = choices(bundle, target, precision, args.engine)
    for line in found.details if args.verbose else ():
        note(f"edgeexpo: {line}")
    best = [target_named(choice.artifact.target) for choice in found.ranked]
    if engine is None and not any(record.runs_here for record in best):
        first = found.ranked[0].artifact
        engine = interpreter(first.target, bundle.manifest.model, EngineOptions(args.threads))
        if engine is not None:
            target, precision = first.target, first.precision
            note(
                f"edgeexpo: the {best[0].title} artefact runs in the {best[0].verifier.title} here "
                "(slow, for checking)"
            )
    return load(
        args.bundle,
        target=target,
        precision=precision,
        threads=args.threads,
        memory_mb=args.memory_mb,
        engine=engine,
        frames=frames,
        output=output,
    )


def _luminance(picture: np.ndarray) -> float:
    """Return the mean of an HxWx3 picture with the weights of Rec. 709, in the picture's codes."""
    return float(picture.mean(axis=(0, 1)) @ [0.2126, 0.7152, 0.0722])


def _size(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    return f"{width}x{height} with {picture.dtype.itemsize * 8} bits a channel"
