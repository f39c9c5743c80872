"""The part of edgeexpo that is sent to another machine, as a zip."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

FOLDERS = ("bundle", "imaging", "remote", "runtime")
"""Packages of edgeexpo that are sent whole. They import neither torch nor an exporter."""

MODULES = ("workflows/__init__.py", "workflows/latency_child.py")
"""Further modules that are sent."""


@functools.cache
def payload() -> tuple[bytes, str]:
    """Return the zip and its SHA-256. Equal sources give equal bytes."""
    package = resources.files("edgeexpo")
    found = dict(_sources(package, "edgeexpo/", deep=False))
    for folder in FOLDERS:
        found |= _sources(package / folder, f"edgeexpo/{folder}/", deep=True)
    found |= {f"edgeexpo/{name}": (package / name).read_bytes() for name in MODULES}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(found):
            archive.writestr(zipfile.ZipInfo(name), found[name], zipfile.ZIP_DEFLATED)
    data = written.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def _sources(folder: Traversable, prefix: str, deep: bool) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_file() and entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()
        elif deep and entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{prefix}{entry.name}/", deep)
