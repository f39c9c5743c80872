"""Printing for all verbs: stdout gets one JSON document or plain text, and nothing else."""

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
"""Row of a table: a mapping from column to value, or the values in the order of the columns."""


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which every verb accepts."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on stdout, nothing else"
    )


def emit(args: argparse.Namespace, document: Any, text: str) -> None:
    """Print ``document`` as JSON under ``--json``, else ``text``. A verb calls this once.

    In both, the parameters that the library's messages name become flags.

    Args:
        args: The verb's arguments. ``main`` sets ``args.stdout`` to the caller's stdout, while
            everything that libraries print to stdout goes to stderr.
        document: Dataclasses, mappings, sequences and JSON values. NaN and infinity are errors.
        text: The text for a person.
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
        rows: Each row is a mapping from column to value, or the values in the order of
            ``columns``. ``None`` is shown as ``-``. Columns that hold only numbers are aligned to
            the right.
        columns: The headings, which are also the keys of rows that are mappings.
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
    """Write ``count`` bytes in decimal units, as in ``999 B`` and ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def human_ms(milliseconds: float) -> str:
    """Write a duration, as in ``0.42 ms``, ``187 ms`` and ``12.3 s``."""
    if not math.isfinite(milliseconds):
        return "-"
    return f"{milliseconds:.3g} ms" if milliseconds < 999.5 else f"{milliseconds / 1000:.3g} s"
