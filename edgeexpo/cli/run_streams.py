"""``-`` as a picture of ``edgeexpo run``: standard input, or standard output."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.spec import ModelSpec

STREAM = Path("-")
"""Name of standard input and standard output. A file of this name is ``./-``."""


@contextlib.contextmanager
def standard_streams(args: argparse.Namespace, spec: ModelSpec) -> Iterator[None]:
    """Let files in a temporary folder stand for ``-`` while a verb runs.

    The file for standard output is sent when the block has succeeded. What the verb prints goes to
    stderr then.

    Args:
        args: The verb's arguments, whose ``input``, ``output`` and ``stdout`` are replaced.
        spec: The bundle's model, which decides the format that is sent.

    Raises:
        UsageError: ``-`` is given twice as an input, or ``--json`` needs standard output too, or
            standard output is a terminal.
        PictureError: Standard input is empty.
    """
    given = args.input, args.output, args.stdout
    count = args.input.count(STREAM)
    sends = args.output == STREAM
    if count > 1:
        raise UsageError(f"- is given {count} times; expected one picture from standard input")
    if sends and args.json:
        raise UsageError("-o - and --json both need standard output; write the picture to a file")
    if sends and args.stdout.isatty():
        raise UsageError("standard output is a terminal; send it to a file or to another command")
    if not count and not sends:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="edgeexpo-") as folder:
        try:
            if count:
                held = _held(Path(folder) / "standard-input")
                args.input = [held if path == STREAM else path for path in args.input]
            if sends:
                args.output = Path(folder) / f"standard-output{_suffix(args, spec)}"
                args.stdout = sys.stderr
            yield
            data = args.output.read_bytes() if sends else b""
        finally:
            args.input, args.output, args.stdout = given
    if sends:
        stream = args.stdout.buffer
        stream.write(data)
        stream.flush()


def _held(path: Path) -> Path:
    data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    if not data:
        raise PictureError("standard input is empty; expected a picture")
    path.write_bytes(data)
    return path


def _suffix(args: argparse.Namespace, spec: ModelSpec) -> str:
    if args.gain_map:
        return ".jpg"
    return ".hdr" if spec.kind == "hdr" and not args.tonemap else ".png"
