"""``edgeexpo run``: a bundle on a bracket, pictures in, picture out."""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.artifact import Bundle, writing
from edgeexpo.cli.arguments import add_selection, positive
from edgeexpo.cli.output import add_json_argument, emit, human_ms
from edgeexpo.errors import MissingDependencyError, OutputError, PictureError, UsageError
from edgeexpo.progress import status
from edgeexpo.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np

    from edgeexpo.runtime import Session

TONEMAPS = ("durand", "reinhard", "drago", "mantiuk")
"""Operators of :mod:`edgeexpo.imaging.tonemap` that need no tuning."""

Frame = tuple[Path, "np.ndarray"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", type=Path, help="folder that edgeexpo export wrote")
    parser.add_argument("input", nargs="+", type=Path, help="pictures, darkest first or with EXIF")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="file to write: .png, .jpg or .tif; .hdr or .exr where the network gives radiance",
    )
    parser.add_argument(
        "--tonemap",
        choices=TONEMAPS,
        help="write a picture where the network gives radiance",
    )
    parser.add_argument(
        "--strength",
        type=_share,
        default=1.0,
        metavar="0..1",
        help="how much of the network's correction is applied (default: 1, all of it)",
    )
    parser.add_argument(
        "--ev",
        type=_exposure_value,
        help="log2 of the exposure ratio of the brightest and the darkest picture, as in 4 for "
        "-2/+2 (default: from EXIF, else unknown)",
    )
    parser.add_argument(
        "--no-fuse", action="store_true", help="write the network's own output, do not fuse"
    )
    parser.add_argument("--threads", type=positive, help="threads (default: the engine's choice)")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    add_selection(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the bundle on the pictures and write one picture.

    Raises:
        UsageError: The number of pictures is wrong, one of them cannot be used, the bundle has no
            such artefact, or the output exists.
        MissingDependencyError: The engine is not installed.
        EngineError: The engine failed.
        OutputError: The picture cannot be written.
    """
    spec = Bundle.open(args.bundle).manifest.model
    _check_request(spec, args)
    with status("Reading the pictures"):
        frames, ev = order(read(args.input))
    _check_suffix(spec, args, frames[0][1].dtype)
    with open_session(args.bundle, args.target, args.precision, args.threads) as session:
        artifact, engine = session.artifact, session.engine_name
        start = time.perf_counter()
        with status(f"Running {artifact.file}"):
            pictures = [picture for _, picture in frames]
            picture = session(
                *pictures, ev=args.ev or ev, fuse=not args.no_fuse, strength=args.strength
            )
        seconds = time.perf_counter() - start
    _write(args.output, picture, args.tonemap)
    height, width = picture.shape[:2]
    document = {
        "output": str(args.output),
        "width": width,
        "height": height,
        "target": artifact.target,
        "precision": artifact.precision,
        "status": artifact.status,
        "engine": engine,
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


def read(paths: Sequence[Path]) -> list[Frame]:
    """Read the pictures of one bracket.

    Raises:
        PictureError: One cannot be read, or they differ in size or bit depth.
    """
    from edgeexpo.imaging.files import read_picture

    frames = [(path, read_picture(path)) for path in paths]
    (first, reference), *others = frames
    for path, picture in others:
        if picture.shape != reference.shape or picture.dtype != reference.dtype:
            raise PictureError(
                f"{path} is {_size(picture)}, {first} is {_size(reference)}; "
                "expected pictures of one size and bit depth"
            )
    return frames


def order(frames: Sequence[Frame]) -> tuple[list[Frame], float | None]:
    """Put a bracket in order, darkest first, and tell its EV.

    EXIF exposures decide when all pictures have one and they differ; else the order is the
    caller's, unless the mean luminance contradicts it.

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
    if by_rank != list(range(len(frames))):
        names = ", ".join(str(frames[i][0]) for i in by_rank)
        reason = "mean luminance" if ev is None else "EXIF exposure"
        _note(f"the pictures were put in order of their {reason}: {names}")
    return [frames[i] for i in by_rank], ev


def open_session(
    path: Path, target: str | None, precision: str | None, threads: int | None
) -> Session:
    """Open the artefact that the options select, Core ML's in the interpreter off macOS.

    Raises:
        BundleError: The bundle has no such artefact, or a file differs from its digest.
        MissingDependencyError: The engine, or the interpreter's torch, is not installed.
        EngineError: The engine refuses the artefact.
    """
    from edgeexpo.runtime import load

    candidates = Bundle.open(path).by_preference(target, precision)
    best = [a.target for a in candidates if a.precision == candidates[0].precision]
    if best == ["coreml"] and sys.platform != "darwin":
        try:
            from edgeexpo.parity.mil import MilEngine
        except ImportError as error:
            raise MissingDependencyError(
                f"interpreting a Core ML artefact needs {error.name}; "
                "pip install 'edgeexpo[export]', or choose another --target"
            ) from error
        _note("Core ML artefact runs in the MIL interpreter on this host (slow, for checking)")
        return load(path, target="coreml", precision=candidates[0].precision, engine=MilEngine())
    return load(path, target=target, precision=precision, threads=threads)


def _write(path: Path, picture: np.ndarray, tonemap: str | None) -> None:
    """Write a picture, radiance, or radiance mapped to a picture of 8 bits."""
    from edgeexpo.imaging import tonemap as operators
    from edgeexpo.imaging.files import write_picture
    from edgeexpo.imaging.radiance import SUFFIXES, write_radiance

    if tonemap is not None:
        picture = (getattr(operators, tonemap)(picture) * 255).round().astype("uint8")
    if path.suffix.lower() in SUFFIXES:
        write_radiance(path, picture)
    else:
        write_picture(path, picture)


def _check_suffix(
    spec: ModelSpec, args: argparse.Namespace, kind: np.dtype[Any] | None = None
) -> None:
    """Refuse an output whose suffix does not go with what the network gives.

    ``kind`` is that of the frames once they are read: 8 or 16 bits.
    """
    from edgeexpo.imaging.files import WRITTEN, check_output
    from edgeexpo.imaging.radiance import SUFFIXES
    from edgeexpo.runtime.stages import gives_picture

    output, suffix = args.output, args.output.suffix.lower()
    if spec.kind == "hdr" and not args.tonemap:
        if suffix in WRITTEN:
            raise UsageError(
                f"{spec.name} gives radiance, which {suffix} cannot hold; name a "
                f"{' or '.join(SUFFIXES)} file, or add --tonemap {TONEMAPS[0]} for a preview"
            )
        if suffix not in SUFFIXES:
            check_output(output)
        return
    if args.tonemap and spec.kind != "hdr":
        raise UsageError(f"--tonemap is for radiance; {spec.name} gives none: leave it out")
    if spec.kind != "hdr" and not gives_picture(spec, not args.no_fuse):
        raise UsageError(
            f"{spec.name} gives {spec.outputs[0].name!r}, which is no sRGB picture; "
            "use edgeexpo.runtime from Python"
        )
    if suffix in SUFFIXES:
        what = "a tone-mapped picture" if args.tonemap else f"the picture of {spec.name}"
        raise UsageError(f"{output} is for radiance, not for {what}; name a .png or .tif file")
    check_output(output, None if args.tonemap else kind)


def _check_request(spec: ModelSpec, args: argparse.Namespace) -> None:
    inputs, output = args.input, args.output
    if len(inputs) != len(spec.frames):
        advice = ": take the darkest and the brightest" if len(spec.frames) == 2 else ""
        raise UsageError(
            f"{len(inputs)} pictures were given; {spec.name} takes {len(spec.frames)} "
            f"({', '.join(spec.frames)}){advice}"
        )
    _check_suffix(spec, args)
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise UsageError(f"{output} is an input; choose another output with -o")
    if output.is_dir() or (output.exists() and not args.force):
        way = "choose another with -o" if output.is_dir() else "use --force to replace it"
        raise UsageError(f"{output} exists; {way}")
    if not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}; make it")
    with writing(output):
        handle, probe = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        os.close(handle)
        os.unlink(probe)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1; found {text!r}")
    return value


def _exposure_value(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected an EV above zero, as in 4; found {text!r}")
    return value


def _luminance(picture: np.ndarray) -> float:
    """Mean of a HxWx3 picture with the weights of Rec. 709, in its own codes."""
    return float(picture.mean(axis=(0, 1)) @ [0.2126, 0.7152, 0.0722])


def _size(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    return f"{width}x{height} with {picture.dtype.itemsize * 8} bits a channel"


def _note(text: str) -> None:
    sys.stderr.write(f"edgeexpo: {text}\n")
