"""Progress of long work on stderr; it is silent when stderr is not a terminal.

This module writes nothing to stdout. It imports rich only when it is going to draw.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
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


_rewrites: list[Callable[[str], str]] = []


@contextlib.contextmanager
def rewritten_notes(rewrite: Callable[[str], str]) -> Iterator[None]:
    """Pass the text of every note inside the block through ``rewrite``."""
    _rewrites.append(rewrite)
    try:
        yield
    finally:
        _rewrites.pop()


_kept: list[list[str]] = []


@contextlib.contextmanager
def kept_notes() -> Iterator[list[str]]:
    """Keep the notes of the block in the list that is given, instead of printing them.

    If the block fails, they are passed on to the block around it, or printed.
    """
    found: list[str] = []
    _kept.append(found)
    try:
        yield found
    except BaseException:
        _kept.pop()
        for text in found:
            _pass_on(text)
        raise
    _kept.pop()


def note(text: str) -> None:
    """Print one line on stderr, terminal or not, for work that takes many minutes.

    Inside :func:`kept_notes` the line is kept instead.
    """
    for rewrite in _rewrites:
        text = rewrite(text)
    _pass_on(text)


def _pass_on(text: str) -> None:
    if _kept:
        _kept[-1].append(text)
    elif sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
