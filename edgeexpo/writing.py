"""Write files in one step: completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeexpo.errors import ExistingOutputError, OutputError


def write_file(path: Path, data: bytes, make_folder: bool = True) -> None:
    """Write ``data`` to ``path`` in one step: a temporary file in the same folder, then a rename.

    Args:
        path: The file. An existing one is replaced.
        data: Its contents.
        make_folder: False if a missing folder is an error.

    Raises:
        OutputError: The file cannot be written; an existing file is unchanged.
    """
    folder = made_folder(path.parent) if make_folder else contextlib.nullcontext()
    with writing(path), folder:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document as :func:`write_file` does, with its keys in order.

    Raises:
        OutputError: The file cannot be written; an existing file is unchanged.
    """
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_file(path, text.encode())


def check_file(path: Path, force: bool = False) -> None:
    """Refuse a file that could not be written, before any long work. Nothing is left behind.

    Raises:
        OutputError: The file exists and ``force`` is not set, it is a folder, or its folder cannot
            be written.
    """
    with writing(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; expected a file: choose it with `output`")
        if path.exists() and not force:
            raise ExistingOutputError(
                f"{path} exists; use `force` to replace it, or `output` elsewhere"
            )
        with made_folder(path.parent):
            handle, probe = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            os.unlink(probe)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder, with those above it, for the block. Of these, empty ones are removed again.

    Raises:
        OutputError: The folder cannot be made.
    """
    with writing(folder):
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # it holds something
                path.rmdir()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing ``path`` into :class:`OutputError`."""
    reasons = {
        errno.ENOSPC: "the disk is full; free some space or choose another place with `output`",
        errno.EROFS: "the file system is read-only; choose another place with `output`",
        errno.EACCES: "permission denied; choose another place with `output`",
        errno.EPERM: "permission denied; choose another place with `output`",
        errno.EEXIST: "a part of the path is a file; choose another place with `output`",
        errno.ENOTDIR: "a part of the path is a file; choose another place with `output`",
    }
    try:
        yield
    except OSError as error:
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error
