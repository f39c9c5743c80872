"""The files of a bundle: digests, sizes, and writing a whole folder in one step.

A bundle is staged beside its destination and renamed into place. A killed export therefore leaves
nothing that looks like a bundle.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.errors import ExistingOutputError
from edgeexpo.writing import made_folder, writing


def digest(path: Path) -> str:
    """Return the SHA-256 of a file or folder, in hexadecimal.

    The digest of a folder is the SHA-256 of its sorted ``relative-path NUL sha256 LF`` lines.
    """
    if path.is_dir():
        lines = (
            f"{p.relative_to(path).as_posix()}\0{digest(p)}\n"
            for p in sorted(path.rglob("*"), key=lambda p: p.relative_to(path).as_posix())
            if p.is_file()
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_in_bytes(path: Path) -> int:
    """Return the size of a file in bytes; the size of a folder is the sum over its files."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size


def check_destination(destination: Path, force: bool) -> None:
    """Refuse a destination that :func:`staged` could not write, before any long work.

    Nothing is left behind.

    Raises:
        OutputError: The destination exists and ``force`` is not set, is not a bundle, or cannot be
            written.
    """
    check_free(destination, force)
    with writing(destination), made_folder(destination.parent):
        probe = tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.partial-")
        os.rmdir(probe)


def check_free(destination: Path, force: bool) -> None:
    """Refuse a destination that exists and would not be replaced. Nothing is written.

    Raises:
        ExistingOutputError: The destination exists and ``force`` is not set, or it is not a bundle.
    """
    if destination.exists():
        if not force:
            raise ExistingOutputError(
                f"{destination} exists; use `force` to replace it, or `output` elsewhere"
            )
        if not (destination / MANIFEST).is_file():
            raise ExistingOutputError(
                f"{destination} exists and is not a bundle; choose another with `output`"
            )


@contextlib.contextmanager
def staged(destination: Path, force: bool = False) -> Iterator[Path]:
    """Give a folder beside ``destination`` that replaces it when the block ends without error.

    Raises:
        OutputError: The destination exists (without ``force``) or is not a bundle, or the disk
            refuses.
    """
    check_destination(destination, force)
    with contextlib.ExitStack() as stack:
        with writing(destination):
            stack.enter_context(made_folder(destination.parent))
            staging = Path(
                tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.partial-")
            )
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        yield staging
        with writing(destination):
            os.chmod(staging, 0o755)
            _swap(staging, destination)


def _swap(staging: Path, destination: Path) -> None:
    if not destination.exists():
        os.rename(staging, destination)
        return
    old = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.old-"))
    os.rename(destination, old / "bundle")
    try:
        os.rename(staging, destination)
    except OSError:
        os.rename(old / "bundle", destination)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
