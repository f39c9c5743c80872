"""``edgeexpo run``: run a bundle on pictures, on folders of brackets, or on a video."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.cli.arguments import (
    add_engine,
    add_on,
    add_selection,
    local_path,
    number_argument,
    positive,
    thread_count,
)
from edgeexpo.cli.output import add_json_argument, emit, human_ms
from edgeexpo.cli.run_input import (
    made_by,
    note_same_exposure,
    open_session,
    order,
    read_pictures,
)
from edgeexpo.cli.run_output import (
    TONEMAPS,
    check_request,
    check_suffix,
    note_losses,
    write_output,
    written_bits,
)
from edgeexpo.cli.run_streams import standard_streams
from edgeexpo.progress import status
from edgeexpo.spec import ModelSpec

VIDEOS = (".mp4", ".mov", ".mkv", ".m4v", ".webm", ".avi")
"""Suffixes of inputs that are treated as videos."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", type=Path, help="folder that edgeexpo export wrote")
    parser.add_argument(
        "input",
        nargs="+",
        type=local_path,
        help="pictures, darkest first or with EXIF exposures, - for standard input; or one video",
    )
    parser.add_argument(
        "--brackets",
        action="store_true",
        help="INPUT is a folder of bracketed shots, grouped by EXIF time and exposure or by "
        "sub-folders; the fused pictures are written into the folder -o",
    )
    parser.add_argument(
        "--no-align",
        dest="align",
        action="store_false",
        help="with --brackets: do not align the shots, as for shots from a tripod",
    )
    parser.add_argument(
        "--no-deghost",
        dest="deghost",
        action="store_false",
        help="with --brackets: leave what moves as every shot shows it, instead of taking it from "
        "the best exposed shot",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=local_path,
        required=True,
        help="file to write: .png, .jpg, .tif or .avif. Where the network gives radiance: .hdr, "
        ".exr, or .avif for HDR displays. With --brackets: a folder. - is standard output, which "
        "gets a PNG, a .hdr or, with --gain-map, a JPEG",
    )
    parser.add_argument(
        "--tonemap",
        choices=TONEMAPS,
        help="write a picture where the network gives radiance",
    )
    parser.add_argument(
        "--gain-map",
        action="store_true",
        help="write a .jpg that ordinary displays show as the tone-mapped picture and HDR displays "
        "as radiance (Ultra HDR, ISO 21496-1), where the network gives radiance",
    )
    parser.add_argument(
        "--keep-p3",
        action="store_true",
        help="keep pictures that are in Display P3 as they are, and write the result with their "
        "profile (default: everything is converted to sRGB)",
    )
    parser.add_argument(
        "--strength",
        type=number_argument(lambda v: 0 <= v <= 1, "a number from 0 to 1"),
        default=1.0,
        metavar="0..1",
        help="how much of the network's correction is applied (default: 1, all of it)",
    )
    parser.add_argument(
        "--ev",
        type=number_argument(lambda v: 0 < v < math.inf, "an EV above zero, as in 4"),
        help="log2 of the exposure ratio of the brightest and the darkest picture, as in 4 for "
        "-2/+2 (default: from EXIF, else unknown)",
    )
    parser.add_argument(
        "--no-fuse", action="store_true", help="write the network's own output without fusing it"
    )
    parser.add_argument(
        "--threads", type=thread_count, help="threads (default: the engine's choice)"
    )
    parser.add_argument(
        "--memory-mb",
        type=positive,
        metavar="MIB",
        help="limit of the memory beyond the engine's and the pictures' own; the picture is then "
        "computed window by window (default: a quarter of the free memory)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    parser.add_argument(
        "--verbose", action="store_true", help="say why this artefact and this engine are taken"
    )
    add_selection(parser)
    add_engine(parser)
    add_on(parser, several=False)
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
    with standard_streams(args, spec):
        _run_pictures(args, spec)
    return 0


def _run_pictures(args: argparse.Namespace, spec: ModelSpec) -> None:
    check_request(spec, args)
    with status("Reading the pictures"):
        frames, ev = order(read_pictures(args.input, args.keep_p3))
    check_suffix(spec, args, frames[0][1].dtype)
    bits = written_bits(spec, args, frames[0][1].dtype)
    note_losses(args.output, args.input[-1], bits)
    with open_session(args) as session:
        artifact, engine = session.artifact, session.engine_name
        start = time.perf_counter()
        with status(f"Running {artifact.file}"):
            pictures = [picture for _, picture in frames]
            picture = session(
                *pictures, ev=args.ev or ev, fuse=not args.no_fuse, strength=args.strength
            )
        seconds = time.perf_counter() - start
    note_same_exposure(frames)
    profile = write_output(picture, args, frames[-1][1])
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
