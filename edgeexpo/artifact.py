"""A bundle on disk: artefacts, the manifest that vouches for them, and how both are written.

A bundle is a folder with a ``manifest.json`` that names every other file with its SHA-256. It is
staged beside its destination and renamed into place in one step, so that a killed export leaves
nothing that looks like a bundle.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeexpo.errors import BundleError, OutputError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.spec import (
    PRECISIONS,
    TARGETS,
    ModelSpec,
    Recipe,
    SizeRange,
    from_json,
    to_json,
)
from edgeexpo.untrusted import STATUSES, check_inside, check_manifest, read_json
from edgeexpo.writing import write_file, writing

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artifact:
    """One exported file (or folder) for one target and precision.

    Attributes:
        file: Path relative to the bundle, with forward slashes.
        target: One of :data:`edgeexpo.spec.TARGETS`.
        precision: One of :data:`edgeexpo.spec.PRECISIONS`.
        sha256: :func:`digest` of the file or folder.
        bytes: :func:`size_in_bytes` of the file or folder.
        sizes: Heights and widths that it accepts.
        status: ``verified``, ``unverified`` or ``failed``.
        verified_by: Engine that ran it for verification (``onnxruntime``, ``mil-interpreter``...).
        seconds: Time that the conversion took.
        error: Why it failed or is unverified, one line.
        float_operators: For INT8, what computes in float all the same, with its count: the exact
            tail, and operators that the target's engine has no integer form of. Their inputs and
            results are the quantised program's.
    """

    file: str
    target: str
    precision: str
    sha256: str
    bytes: int
    sizes: SizeRange
    status: str = "unverified"
    verified_by: str | None = None
    seconds: float = 0.0
    error: str | None = None
    float_operators: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        model: The network and its front and back stage.
        recipe: The export, resolved.
        artifacts: The artefacts, in the order in which they were made.
        files: SHA-256 of every other file of the bundle, by relative path.
        tools: Versions of the libraries that took part.
        weights_sha256: Digest of the weights file, ``None`` for weights made in memory.
        noise_floor: Worst PSNR in dB between the quantised program and the float program over the
            photographs, both run in torch: what quantising costs before any lowering. ``None``
            when nothing was quantised.
        sources: The user's source line (``file:line``) of every operator, by graph node name.
        frames: How frames are to be read where the app does not say otherwise.
        output: How pictures are to be written, likewise.
        parity: The parity record, as :func:`edgeexpo.parity.record` made it; ``None`` if never run.
        schema_version: Version of this layout.
    """

    model: ModelSpec
    recipe: Recipe
    artifacts: tuple[Artifact, ...]
    files: Mapping[str, str]
    tools: Mapping[str, str]
    weights_sha256: str | None = None
    noise_floor: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    frames: FrameFormat = field(default_factory=FrameFormat)
    output: FrameFormat = field(default_factory=FrameFormat)
    parity: Any = None
    schema_version: int = SCHEMA_VERSION

    @property
    def status(self) -> str:
        """The worst status of any artefact."""
        found = {a.status for a in self.artifacts}
        return next((s for s in STATUSES if s in found), "unverified")


@dataclass(frozen=True)
class Bundle:
    """A folder with a manifest, opened for reading."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read the manifest of the bundle at ``path``; files are checked when they are used.

        Raises:
            BundleError: There is no bundle, or its manifest cannot be read.
        """
        folder = Path(path)
        if not folder.exists():
            raise BundleError(f"no bundle at {folder}; make one with: edgeexpo export -o {folder}")
        if not (folder / MANIFEST).is_file():
            raise BundleError(
                f"{folder} is not a bundle: it has no {MANIFEST}; "
                "expected a folder made by edgeexpo export"
            )
        try:
            check_inside(folder, folder / MANIFEST)
            data = read_json(folder / MANIFEST)
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{folder / MANIFEST} cannot be read ({error}); export the bundle again"
            ) from error
        found = data.get("schema_version") if isinstance(data, dict) else None
        if found != SCHEMA_VERSION:
            raise BundleError(
                f"{folder / MANIFEST} has schema version {found!r}; this edgeexpo reads "
                f"{SCHEMA_VERSION}: export the bundle again"
            )
        try:
            manifest = from_json(Manifest, data)
            check_manifest(manifest)
        except (TypeError, ValueError, OverflowError) as error:
            raise BundleError(
                f"{folder / MANIFEST} is damaged ({error}); export the bundle again"
            ) from error
        return cls(folder, manifest)

    def file(self, relative: str) -> Path:
        """Path of a file named by the manifest, after checking its digest.

        Raises:
            BundleError: The file is not in the manifest, is missing, lies outside the bundle or
                differs from its digest.
        """
        expected = self.manifest.files.get(relative) or next(
            (a.sha256 for a in self.manifest.artifacts if a.file == relative), None
        )
        if expected is None:
            raise BundleError(f"{self.path} does not list {relative!r} in its manifest")
        target = self.path / relative
        try:
            check_inside(self.path, target)
            found = digest(target) if target.exists() else None
        except ValueError as error:
            raise BundleError(f"{self.path} names {relative!r}, which {error}") from error
        except OSError as error:
            raise BundleError(f"{target} cannot be read: {error.strerror}") from error
        if found is None:
            raise BundleError(f"{target} is missing; export the bundle again")
        if found != expected:
            raise BundleError(
                f"{target} has SHA-256 {found[:12]}..., the manifest says {expected[:12]}...: "
                "the file was changed after the export; export the bundle again"
            )
        return target

    def verify(self) -> None:
        """Check every digest; raises :class:`BundleError` for the first file that differs."""
        for relative in [*self.manifest.files, *(a.file for a in self.manifest.artifacts)]:
            self.file(relative)

    def by_preference(
        self, target: str | None = None, precision: str | None = None
    ) -> list[Artifact]:
        """Artefacts in the order that ``run``, ``bench``, ``parity`` and ``runtime.load`` share.

        INT8 when the bundle has it, else the next precision; ONNX first among the targets.

        Raises:
            BundleError: The bundle has no such artefact; the message lists those it has.
        """
        candidates = [
            a
            for a in self.manifest.artifacts
            if target in (None, a.target) and precision in (None, a.precision)
        ]
        if not candidates:
            has = ", ".join(f"{a.target} {a.precision}" for a in self.manifest.artifacts)
            wanted = " ".join(w for w in (target, precision) if w)
            raise BundleError(f"{self.path} has no {wanted} artefact; it has: {has or 'none'}")
        return sorted(
            candidates, key=lambda a: (PRECISIONS.index(a.precision), TARGETS.index(a.target))
        )

    def select(self, target: str | None = None, precision: str | None = None) -> Artifact:
        """The first artefact of :meth:`by_preference`."""
        return self.by_preference(target, precision)[0]


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its sorted ``relative-path NUL sha256 LF`` lines."""
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
    """Bytes of a file; of a folder, the sum over its files."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into ``folder`` in one step: a temporary file, then a rename."""
    text = json.dumps(to_json(manifest), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_file(folder / MANIFEST, text.encode())


def replace_artifacts(manifest: Manifest, artifacts: Sequence[Artifact]) -> Manifest:
    """A copy of ``manifest`` with ``artifacts`` in place of its own."""
    return dataclasses.replace(manifest, artifacts=tuple(artifacts))


def check_destination(destination: Path, force: bool) -> None:
    """Refuse a destination that :func:`staged` could not write, before any long work.

    Raises:
        OutputError: It exists and ``force`` is not set, is not a bundle, or cannot be written.
    """
    if destination.exists():
        if not force:
            raise OutputError(f"{destination} exists; use --force to replace it, or -o elsewhere")
        if not (destination / MANIFEST).is_file():
            raise OutputError(f"{destination} exists and is not a bundle; choose another with -o")
    with writing(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        probe = tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.partial-")
        os.rmdir(probe)


@contextlib.contextmanager
def staged(destination: Path, force: bool = False) -> Iterator[Path]:
    """A folder beside ``destination`` that takes its place when the block ends without error.

    Raises:
        OutputError: The destination exists (without ``force``), or the disk refuses.
    """
    check_destination(destination, force)
    with writing(destination):
        staging = Path(
            tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.partial-")
        )
    try:
        yield staging
        with writing(destination):
            os.chmod(staging, 0o755)
            _swap(staging, destination)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


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
