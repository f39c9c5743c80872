"""What verbs print: one JSON document or plain text on stdout, and nothing else there."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from edgeexpo.cli.flags import with_flags
from edgeexpo.spec import to_json

TableRow = Mapping[str, Any] | Sequence[Any]


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which every verb has."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on stdout, nothing else"
    )


def emit(args: argparse.Namespace, document: Any, text: str) -> None:
    """Print ``document`` as JSON under ``--json``, else ``text``; call it once.

    Parameters that messages of the library name become flags in both.

    Args:
        args: The verb's arguments; ``args.stdout``, set by ``main``, is the caller's stdout even
            while whatever libraries print there goes to stderr.
        document: Dataclasses, mappings, sequences and JSON values; NaN and infinity are errors.
        text: What a person reads.
    """
    stream: TextIO = getattr(args, "stdout", None) or sys.stdout
    shown = text
    if getattr(args, "json", False):
        shown = json.dumps(to_json(document), indent=2, allow_nan=False)
    args.emitted = True
    stream.write(with_flags(shown).rstrip("\n") + "\n")
    stream.flush()


def table(rows: Sequence[TableRow], columns: Sequence[str]) -> str:
    """Lay ``rows`` out as aligned plain text under the headings ``columns``.

    Args:
        rows: Each a mapping from column to value, or values in the order of ``columns``. ``None``
            is shown as ``-``; columns that hold only numbers are aligned to the right.
        columns: The headings, also the keys of rows that are mappings.
    """
    values = [
        [row.get(c) for c in columns] if isinstance(row, Mapping) else list(row) for row in rows
    ]
    cells = [list(columns), *([_cell(v) for v in row] for row in values)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    right = [
        bool(values) and all(v is None or isinstance(v, (int, float)) for v in column)
        for column in zip(*values, strict=True)
    ] or [False] * len(columns)
    lines = [
        "  ".join(
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def human_bytes(count: float) -> str:
    """``count`` bytes in decimal units: ``999 B``, ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def human_ms(milliseconds: float) -> str:
    """A duration: ``0.42 ms``, ``187 ms``, ``12.3 s``."""
    if not math.isfinite(milliseconds):
        return "-"
    return f"{milliseconds:.3g} ms" if milliseconds < 999.5 else f"{milliseconds / 1000:.3g} s"
