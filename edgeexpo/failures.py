"""Failures of libraries: words for one line, and a file with the trace for a report.

A failure that a user's file causes becomes a typed error (:func:`reading`). One that nothing
foresaw has a report (:func:`unforeseen`).
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeexpo.errors import EdgeexpoError
from edgeexpo.targets import target_named, target_names

LONGEST_REASON = 240
"""Largest length of a library's message inside ours, in characters."""

LIBRARIES = (
    "edgeexpo",
    "torch",
    "torchao",
    "onnxscript",
    "nncf",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "av",
)
"""Libraries whose versions a report names, besides those of the targets."""


_NO_MEMORY = ("DefaultCPUAllocator", "Failed to allocate memory", "bad_alloc", "out of memory")
"""Words by which libraries say that no memory was left."""


@dataclass(frozen=True)
class Reporting:
    """The command that a report is about.

    Attributes:
        command: The command line as words.
        hint: Words that say how to see the trace at once.
        traces: Whether the trace of every failure is printed on stderr.
    """

    command: Sequence[str]
    hint: str = ""
    traces: bool = False


_running: list[Reporting] = []


@contextlib.contextmanager
def reporting(command: Reporting) -> Iterator[None]:
    """Let the reports that are written inside the block tell of ``command``."""
    _running.append(command)
    try:
        yield
    finally:
        _running.pop()


def first_line(text: str, longest: int = LONGEST_REASON) -> str:
    """Return the first line of a library's message that has words, cut to ``longest``."""
    line = next((s for line in text.splitlines() if (s := " ".join(line.split()))), "")
    return line if len(line) <= longest else line[: longest - 3] + "..."


def described(error: BaseException) -> str:
    """Return the kind and the message of an exception in one line, as in ``KeyError: 'x'``."""
    kind, text = type(error).__name__, first_line(message_of(error))
    return f"{kind}: {text}" if text else kind


def message_of(error: BaseException) -> str:
    """Return ``str(error)``, or nothing for an exception whose ``__str__`` fails itself."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a third party's class may do anything
        return ""


@contextlib.contextmanager
def reading(path: Path, kind: type[EdgeexpoError], what: str, advice: str) -> Iterator[None]:
    """Turn every exception of the block into a typed error about the file.

    Readers of archives, pickles and headers raise any exception for bytes that they do not expect:
    torch 2.13 and numpy 2.3 raise ``KeyError``, ``TypeError`` and ``AttributeError``, among others.
    Code that checks what was read belongs into the block as well.

    Args:
        path: The file.
        kind: Class of the error.
        what: What the file turned out to be, as in ``is not a readable checkpoint``.
        advice: What the user can do.

    Raises:
        EdgeexpoError: Of class ``kind``; or the block's own, unchanged.
    """
    try:
        yield
    except EdgeexpoError:
        raise
    except OSError as error:
        reason = error.strerror or first_line(str(error)) or type(error).__name__
        raise kind(f"{path} {what} ({reason}); {advice}") from error
    except Exception as error:  # a reader may raise anything
        raise kind(f"{path} {what} ({described(error)}); {advice}") from error


def out_of_memory(error: BaseException) -> bool:
    """Return true for an exception that says that no memory was left, whatever its class.

    torch 2.13 and ONNX Runtime 1.31 say so by a ``RuntimeError``.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or any(w in message_of(error) for w in _NO_MEMORY)


def unforeseen(error: BaseException, doing: str) -> str:
    """Write the report about ``error``, and return the words that name its file.

    Args:
        error: An exception that no other code turned into a typed error.
        doing: What was being done, as in ``lowering to onnx``.
    """
    path = _written(report_text(error, doing))
    hint = _running[-1].hint if _running else ""
    where = "the trace cannot be written" if path is None else f"the trace is in {path}"
    return where + (f" ({hint})" if hint else "") + ("; attach it to a report" if path else "")


def show_trace(error: BaseException) -> None:
    """Print the trace of ``error`` on stderr, if the command asked for traces."""
    if _running and _running[-1].traces and sys.stderr is not None:
        sys.stderr.write("".join(traceback.format_exception(error)))
        sys.stderr.flush()


def report_text(error: BaseException, doing: str) -> str:
    """Return the text of a report: the command, the versions and the trace."""
    command = _running[-1].command if _running else sys.argv
    tools = [tool for target in target_names() for tool in target_named(target).tools]
    libraries = dict.fromkeys((*LIBRARIES, *tools))
    versions = [f"{name} {version}" for name in libraries if (version := _version(name))]
    return "\n".join(
        [
            f"edgeexpo failed while {doing}",
            f"command: {shlex.join(command)}",
            f"host: {platform.platform()}, Python {platform.python_version()}",
            f"versions: {', '.join(versions)}",
            "",
            *(line.rstrip("\n") for line in traceback.format_exception(error)),
            "",
        ]
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _written(text: str) -> Path | None:
    """Write ``text`` to a new file in the folder for temporary files, if that is possible."""
    try:
        handle, name = tempfile.mkstemp(prefix="edgeexpo-failure-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
    except OSError:
        return None
    return Path(name)
