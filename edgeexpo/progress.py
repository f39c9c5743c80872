"""Progress of long work on stderr; it is silent when stderr is not a terminal.

This module writes nothing to stdout. It imports rich only when it is going to draw.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


def visible() -> bool:
    """Return true when stderr is a terminal and rich is installed."""
    stream = sys.stderr
    return stream is not None and stream.isatty() and importlib.util.find_spec("rich") is not None


@contextlib.contextmanager
def status(description: str) -> Iterator[None]:
    """Show ``description`` with a spinner and the time spent while the block runs."""
    if not visible():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(description, total=None)
        yield


def track(iterable: Iterable[_T], description: str, total: int | None = None) -> Iterator[_T]:
    """Yield the items of ``iterable`` and show how many are done.

    Args:
        iterable: Any iterable; its length is the total unless ``total`` is given.
        description: What is being done, in a few words.
        total: Number of items, for an iterable without a length.
    """
    if not visible():
        yield from iterable
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    yield from rich_track(iterable, description, total=total, console=console, transient=True)


def note(text: str) -> None:
    """Print one line on stderr, terminal or not, for work that takes many minutes."""
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
