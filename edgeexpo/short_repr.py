"""Short representations of results that fit on a screen."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LINES = 24
"""Largest number of lines of a representation."""

LONGEST_LINE = 100
"""Largest number of characters of a line."""


def short_repr(head: str, lines: Sequence[str] = ()) -> str:
    """Return a representation of a result: a head and indented lines.

    Lines beyond :data:`MOST_LINES` are left out, and the last line gives their number. A line
    beyond :data:`LONGEST_LINE` characters is cut.

    Args:
        head: The first line.
        lines: The lines that follow. Line breaks in them become spaces.
    """
    shown = list(lines[: MOST_LINES - 1])
    if len(lines) > len(shown):
        shown[-1] = f"... {len(lines) - len(shown) + 1} more"
    return "\n".join(_fitting(line) for line in (head, *(f"  {line}" for line in shown)))


def _fitting(line: str) -> str:
    flat = line.replace("\n", " ")
    return flat if len(flat) <= LONGEST_LINE else f"{flat[: LONGEST_LINE - 3]}..."
