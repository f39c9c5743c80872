"""Ways to silence libraries: their warnings, log records, prints and native output."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

STDOUT, STDERR = 1, 2
"""Descriptors of the process's standard output and standard error."""


@contextlib.contextmanager
def quiet_libraries(level: int = logging.WARNING) -> Iterator[None]:
    """Suppress the warnings and the log records of at most ``level`` of the code inside.

    A user who sets ``PYTHONWARNINGS=default`` still sees them all.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("TQDM_DISABLE", "1")  # tqdm reads it once, at its first import
    if sys.warnoptions:
        yield
        return
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, level))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Do as :func:`quiet_libraries` does, and suppress the prints of Python code as well.

    Errors that are logged are suppressed too: coremltools 9.0 logs every error that it raises.
    """
    with quiet_libraries(logging.ERROR), contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def muted(descriptor: int = STDERR) -> Iterator[None]:
    """Suppress the native code's output on a stream of the process; exceptions pass.

    Args:
        descriptor: :data:`STDERR` or :data:`STDOUT`.
    """
    stream = sys.stderr if descriptor == STDERR else sys.stdout
    if stream is not None:
        stream.flush()
    saved, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)
        os.close(nowhere)


def open_closed_streams() -> None:
    """Put the null device in place of the standard streams that the caller closed.

    Else the next file that is opened would get a stream's number, and libraries would print into
    that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


@contextlib.contextmanager
def protected_stdout() -> Iterator[TextIO]:
    """Give the caller's stdout to the block, and redirect all other prints to stderr.

    Exporters and native libraries print to file descriptor 1. Therefore the descriptor itself is
    redirected, not only ``sys.stdout``.
    """
    ours = sys.stdout
    ours.flush()
    saved = os.dup(1)
    # In a test, or inside another program, stdout need not be descriptor 1. It is then kept.
    direct = ours is sys.__stdout__
    # The names of files may be no UTF-8. Their bytes are then printed as they are.
    form = {"encoding": "utf-8", "errors": "surrogateescape"}
    stream = open(os.dup(1), "w", **form) if direct else ours  # type: ignore[call-overload]  # noqa: SIM115
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield stream
    finally:
        _flush_native()
        os.dup2(saved, 1)
        os.close(saved)
        if direct:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _flush_native() -> None:
    """Flush C code's buffered stdout while descriptor 1 still means stderr."""
    import ctypes

    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
