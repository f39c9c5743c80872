"""``edgeexpo run BUNDLE --brackets DIR``: group, align, deghost and fuse brackets."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.bracket_shots import ShotReport, prepared
from edgeexpo.cli.output import emit, human_ms, table
from edgeexpo.errors import PictureError, UsageError
from edgeexpo.progress import note, track
from edgeexpo.spec import ModelSpec
from edgeexpo.writing import made_folder

if TYPE_CHECKING:
    from edgeexpo.imaging.brackets import Shots
    from edgeexpo.runtime import Session

SUFFIX = ".jpg"
"""Suffix of fused pictures with 8 bits a channel."""

DEEP_SUFFIX = ".png"
"""Suffix of fused pictures with 16 bits a channel."""


def run(args: argparse.Namespace, spec: ModelSpec) -> int:
    """Fuse every bracket of a folder, print a table and return exit code 0.

    Raises:
        UsageError: As :func:`fused`, and for options that do not go with a folder.
        PictureError: As :func:`fused`.
    """
    from edgeexpo.cli.run_input import made_by, open_session
    from edgeexpo.runtime.stages import gives_picture

    if len(args.input) != 1:
        raise UsageError(f"--brackets takes one folder; found {len(args.input)} inputs")
    if args.tonemap or args.gain_map or args.no_fuse or not gives_picture(spec):
        raise UsageError(
            "--brackets writes fused pictures; leave out --tonemap, --gain-map and --no-fuse"
        )
    start = time.perf_counter()
    with open_session(args) as session, made_folder(args.output):
        rows = fused(args, spec, session)
        artifact, engine = session.artifact, session.engine_name
    seconds = time.perf_counter() - start
    document = {
        "brackets": rows,
        **made_by(session, engine),
        "seconds": round(seconds, 4),
    }
    columns = ["bracket", "shots", "ev", "alignment", "replaced", "output"]
    text = table([{c: row.get(c) for c in columns} for row in rows], columns)
    reports = [ShotReport(**frame) for row in rows for frame in row.get("frames", ())]
    text += "".join(f"\n{report}" for report in reports if str(report))
    text += f"\n{artifact.file} ({artifact.status}) in {engine}, {human_ms(seconds * 1000)}"
    emit(args, document, text)
    return 0


def fused(args: argparse.Namespace, spec: ModelSpec, session: Session) -> list[dict[str, Any]]:
    """Write one picture for every bracket.

    Damaged brackets and single shots are named on stderr and left out.

    Args:
        args: The verb's arguments. Used are ``input`` (the folder), ``output`` (a folder that
            exists), ``force``, ``ev``, ``align``, ``deghost``, ``keep_p3`` and ``strength``.
        spec: The bundle's model, which takes two frames or more.
        session: The opened bundle.

    Returns:
        A row for each bracket, for the table and ``--json``.

    Raises:
        UsageError: The model takes one picture, the folder holds no bracket, or a picture to be
            written exists already.
        PictureError: No bracket could be fused.
    """
    from edgeexpo.imaging.brackets import brackets, left_out, names_are_unique

    if len(spec.frames) < 2:
        raise UsageError(
            f"{spec.name} takes one picture, not a bracket; name the pictures without --brackets"
        )
    found = brackets(args.input[0])
    names_are_unique(found)
    if alone := left_out(args.input[0], found):
        note(f"edgeexpo: left out, as no other shot goes with it: {', '.join(map(str, alone))}")
    if not args.force:
        for shots in found:
            for suffix in (SUFFIX, DEEP_SUFFIX):
                if (path := args.output / f"{shots.name}{suffix}").exists():
                    raise UsageError(f"{path} exists; use --force to replace it")
    rows = []
    for shots in track(found, "Fusing brackets"):
        try:
            rows.append(_fuse(shots, args, len(spec.frames), session))
        except PictureError as error:
            note(f"edgeexpo: {shots.name} left out: {error}")
            rows.append({"bracket": shots.name, "output": None, "error": str(error)})
    if all(row["output"] is None for row in rows):
        raise PictureError(f"no bracket of {args.input[0]} could be fused; mend the pictures")
    return rows


def _fuse(shots: Shots, args: argparse.Namespace, count: int, session: Session) -> dict[str, Any]:
    from edgeexpo.cli.run_input import note_same_exposure, order, read_pictures
    from edgeexpo.cli.run_output import note_losses, write_as
    from edgeexpo.imaging.brackets import spread_indices

    ordered, ev = order(read_pictures(shots.files, args.keep_p3), quiet=True)
    if len(ordered) < count:
        raise PictureError(f"it has {len(ordered)} shots; expected {count} or more")
    indices = spread_indices(len(ordered), count)
    chosen = [ordered[i] for i in indices]
    note_same_exposure(chosen)
    frames, reports = prepared(ordered, indices, align=args.align, deghost=args.deghost)
    found = [r.correlation for r in reports if r.correlation is not None]
    shares = [r.replaced for r in reports if r.replaced is not None]
    bits = 8 * frames[0].dtype.itemsize
    path = args.output / f"{shots.name}{DEEP_SUFFIX if bits == 16 else SUFFIX}"
    note_losses(path, chosen[-1][0], bits)
    picture = session(*frames, ev=args.ev or ev, fuse=True, strength=args.strength)
    profile = write_as(path, picture, chosen[-1][0], args.keep_p3)
    return {
        "bracket": shots.name,
        "shots": len(shots.files),
        "inputs": [str(file) for file, _ in chosen],
        "ev": args.ev or ev,
        "alignment": round(min(found), 4) if found else None,
        "replaced": round(max(shares), 4) if shares else None,
        "frames": [_rounded(report) for report in reports],
        "output": str(path),
        "profile": profile,
    }


def _rounded(report: ShotReport) -> dict[str, Any]:
    """Return a shot's report for ``--json``."""
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in asdict(report).items()
    }
