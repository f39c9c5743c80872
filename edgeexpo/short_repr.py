"""Representations of results that fit a screen."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LINES = 24
"""Lines that a representation has at most."""

LONGEST_LINE = 100
"""Characters that a line of it has at most."""


def short_repr(head: str, lines: Sequence[str] = ()) -> str:
    """Lay a result out as a head and indented lines, of which those beyond a screen are counted.

    Args:
        head: The first line.
        lines: What follows, a line each; line breaks in them become spaces.
    """
    shown = list(lines[: MOST_LINES - 1])
    if len(lines) > len(shown):
        shown[-1] = f"... {len(lines) - len(shown) + 1} more"
    return "\n".join(_fitting(line) for line in (head, *(f"  {line}" for line in shown)))


def _fitting(line: str) -> str:
    flat = line.replace("\n", " ")
    return flat if len(flat) <= LONGEST_LINE else f"{flat[: LONGEST_LINE - 3]}..."
