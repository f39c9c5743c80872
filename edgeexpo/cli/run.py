"""``edgeexpo run``: a bundle on pictures, on folders of brackets, or on a video."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexpo.artifact import Bundle
from edgeexpo.cli.arguments import add_selection, positive, real
from edgeexpo.cli.output import add_json_argument, emit, human_ms
from edgeexpo.cli.run_output import TONEMAPS, check_request, check_suffix, write
from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.progress import note, status

if TYPE_CHECKING:
    import numpy as np

    from edgeexpo.runtime import Session

VIDEOS = (".mp4", ".mov", ".mkv", ".m4v", ".webm", ".avi")
"""Suffixes of videos."""

FILES = FrameFormat()
"""What files hold once they are read, whatever the bundle says of its app's frames."""

Frame = tuple[Path, "np.ndarray"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", type=Path, help="folder that edgeexpo export wrote")
    parser.add_argument(
        "input", nargs="+", type=Path, help="pictures, darkest first or with EXIF; or a video"
    )
    parser.add_argument(
        "--brackets",
        action="store_true",
        help="INPUT is a folder of bracketed shots, grouped by EXIF time and exposure, or with a "
        "sub-folder for each bracket; aligned, fused, written into the folder -o",
    )
    parser.add_argument(
        "--no-align",
        dest="align",
        action="store_false",
        help="with --brackets: shots from a tripod, leave them as they are",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="file to write: .png, .jpg or .tif; .hdr or .exr where the network gives radiance; "
        "a folder with --brackets",
    )
    parser.add_argument(
        "--tonemap",
        choices=TONEMAPS,
        help="write a picture where the network gives radiance",
    )
    parser.add_argument(
        "--keep-p3",
        action="store_true",
        help="leave pictures in Display P3 in it and write the result with their profile (default: "
        "everything is converted to sRGB)",
    )
    parser.add_argument(
        "--strength",
        type=real(lambda v: 0 <= v <= 1, "a number from 0 to 1"),
        default=1.0,
        metavar="0..1",
        help="how much of the network's correction is applied (default: 1, all of it)",
    )
    parser.add_argument(
        "--ev",
        type=real(lambda v: 0 < v < math.inf, "an EV above zero, as in 4"),
        help="log2 of the exposure ratio of the brightest and the darkest picture, as in 4 for "
        "-2/+2 (default: from EXIF, else unknown)",
    )
    parser.add_argument(
        "--no-fuse", action="store_true", help="write the network's own output, do not fuse"
    )
    parser.add_argument("--threads", type=positive, help="threads (default: the engine's choice)")
    parser.add_argument(
        "--memory-mb",
        type=positive,
        metavar="MIB",
        help="memory for pictures of any size, beyond the engine's and the pictures themselves: "
        "computed window by window (default: as much as is fastest)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    add_selection(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the bundle on the pictures and write one picture, or one for each bracket.

    Raises:
        UsageError: The number of pictures is wrong, one of them cannot be used, the bundle has no
            such artefact, or the output exists.
        MissingDependencyError: The engine is not installed.
        EngineError: The engine failed.
        OutputError: The picture cannot be written.
    """
    spec = Bundle.open(args.bundle).manifest.model
    if args.brackets:
        from edgeexpo.cli import brackets

        return brackets.run(args, spec)
    if any(path.suffix.lower() in VIDEOS for path in args.input):
        from edgeexpo.cli import video

        return video.run(args, spec)
    check_request(spec, args)
    with status("Reading the pictures"):
        frames, ev = order(read(args.input, args.keep_p3))
    check_suffix(spec, args, frames[0][1].dtype)
    with open_session(args) as session:
        artifact, engine = session.artifact, session.engine_name
        start = time.perf_counter()
        with status(f"Running {artifact.file}"):
            pictures = [picture for _, picture in frames]
            picture = session(
                *pictures, ev=args.ev or ev, fuse=not args.no_fuse, strength=args.strength
            )
        seconds = time.perf_counter() - start
    profile = write(picture, args)
    height, width = picture.shape[:2]
    document = {
        "output": str(args.output),
        "width": width,
        "height": height,
        "profile": profile,
        **made_by(session, engine),
        "seconds": round(seconds, 4),
        "ev": args.ev or ev,
        "inputs": [str(path) for path, _ in frames],
    }
    text = (
        f"{args.output}: {width}x{height}, {artifact.file} ({artifact.status}) in {engine}, "
        f"{human_ms(seconds * 1000)}"
    )
    emit(args, document, text)
    return 0


def made_by(session: Session, engine: str) -> dict[str, str]:
    """What ``--json`` says of the artefact and the engine that made a picture."""
    artifact = session.artifact
    return {
        "target": artifact.target,
        "precision": artifact.precision,
        "status": artifact.status,
        "engine": engine,
    }


def read(paths: Sequence[Path], keep_p3: bool = False) -> list[Frame]:
    """Read the pictures of one bracket, in sRGB or, if they are to keep it, in Display P3.

    Raises:
        PictureError: One cannot be read, or they differ in size, bit depth or, then, profile.
    """
    from edgeexpo.imaging.files import read_p3_profile, read_picture

    if keep_p3:
        wide = {read_p3_profile(path) is not None: path for path in paths}
        if len(wide) == 2:
            raise PictureError(
                f"{wide[True]} is in Display P3, {wide[False]} is not; expected pictures of one "
                "profile: leave out --keep-p3, and all are converted to sRGB"
            )
    frames = [(path, read_picture(path, keep_p3=keep_p3)) for path in paths]
    (first, reference), *others = frames
    for path, picture in others:
        if picture.shape != reference.shape or picture.dtype != reference.dtype:
            raise PictureError(
                f"{path} is {_size(picture)}, {first} is {_size(reference)}; "
                "expected pictures of one size and bit depth"
            )
    return frames


def order(frames: Sequence[Frame], *, quiet: bool = False) -> tuple[list[Frame], float | None]:
    """Put a bracket in order, darkest first, and tell its EV.

    EXIF exposures decide when all pictures have one and they differ; else the order is the
    caller's, unless the mean luminance contradicts it. A change of the order is noted on stderr,
    unless ``quiet``.

    Returns:
        The frames, and log2 of the exposure ratio of the last and the first (``None``: unknown).
    """
    from edgeexpo.imaging.files import read_exposure

    found = [read_exposure(path) for path, _ in frames]
    exposures = [e for e in found if e is not None]
    if len(exposures) == len(frames) > 1 and max(exposures) - min(exposures) > 0.1:
        ranks = exposures
        ev: float | None = max(exposures) - min(exposures)
    else:
        ranks, ev = [_luminance(picture) for _, picture in frames], None
    by_rank = sorted(range(len(frames)), key=lambda i: ranks[i])
    if by_rank != list(range(len(frames))) and not quiet:
        names = ", ".join(str(frames[i][0]) for i in by_rank)
        reason = "mean luminance" if ev is None else "EXIF exposure"
        note(f"edgeexpo: the pictures were put in order of their {reason}: {names}")
    return [frames[i] for i in by_rank], ev


def open_session(
    args: argparse.Namespace,
    frames: FrameFormat = FILES,
    output: FrameFormat = FILES,
) -> Session:
    """Open the artefact that the options select, Core ML's in the interpreter off macOS.

    ``frames`` and ``output`` are those of :func:`edgeexpo.runtime.load`.

    Raises:
        BundleError: The bundle has no such artefact, or a file differs from its digest.
        UsageError: The memory is too small for anything.
        MissingDependencyError: The engine, or the interpreter's torch, is not installed.
        EngineError: The engine refuses the artefact.
    """
    from edgeexpo.runtime import load

    target, precision, engine = args.target, args.precision, None
    candidates = Bundle.open(args.bundle).by_preference(target, precision)
    best = [a.target for a in candidates if a.precision == candidates[0].precision]
    if best == ["coreml"] and sys.platform != "darwin":
        try:
            from edgeexpo.parity.mil.interpreter import MilEngine
        except ImportError as error:
            raise MissingDependencyError(
                f"interpreting a Core ML artefact needs {error.name}; "
                "pip install 'edgeexpo[export]', or choose another --target"
            ) from error
        note("edgeexpo: the Core ML artefact runs in the MIL interpreter here (slow, for checking)")
        target, precision, engine = "coreml", candidates[0].precision, MilEngine()
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
    """Mean of a HxWx3 picture with the weights of Rec. 709, in its own codes."""
    return float(picture.mean(axis=(0, 1)) @ [0.2126, 0.7152, 0.0722])


def _size(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    return f"{width}x{height} with {picture.dtype.itemsize * 8} bits a channel"
