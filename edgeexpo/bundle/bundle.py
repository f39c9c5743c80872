"""A bundle opened for reading, whose files are checked against their digests when they are used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import MANIFEST, SCHEMA_VERSION, Artifact, Manifest
from edgeexpo.bundle.untrusted import check_inside, check_manifest, read_json
from edgeexpo.errors import BundleError
from edgeexpo.short_repr import short_repr
from edgeexpo.spec import PRECISIONS, from_json
from edgeexpo.targets import Runner, runner_named, target_names


@dataclass(frozen=True)
class Bundle:
    """A folder with a manifest, opened for reading."""

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        manifest = self.manifest
        return short_repr(
            f"Bundle at {self.path}: {manifest.model.name}, {manifest.status}",
            [
                f"{a.file}: {a.status}, {a.bytes} bytes{f'; {a.error}' if a.error else ''}"
                for a in manifest.artifacts
            ]
            + [f"not made: {refusal}" for refusal in manifest.refused],
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read the manifest of the bundle at ``path``; files are checked when they are used.

        Raises:
            BundleError: ``path`` is not a bundle, or its manifest cannot be read.
        """
        folder = Path(path)
        if not folder.exists():
            raise BundleError(
                f"no bundle at {folder}; make one with: edgeexpo export `output='{folder}'`"
            )
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

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which holds the digests of all files but the records.

        Raises:
            BundleError: The manifest cannot be read.
        """
        try:
            return digest(self.path / MANIFEST)
        except OSError as error:
            raise BundleError(f"{self.path / MANIFEST} cannot be read: {error.strerror}") from error

    def file(self, relative: str) -> Path:
        """Return the path of a file that the manifest names, after checking its digest.

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
        """Check every digest.

        Raises:
            BundleError: A file is missing or differs from its digest; the first such file is named.
        """
        for relative in [*self.manifest.files, *(a.file for a in self.manifest.artifacts)]:
            self.file(relative)

    def by_preference(
        self, target: str | None = None, precision: str | None = None
    ) -> list[Artifact]:
        """Return the artefacts in the order that all verbs share.

        ``run``, ``bench``, ``parity`` and ``runtime.load`` take the first one. INT8 comes first,
        then the next precisions. Among the targets ONNX comes first.

        Args:
            target: Only artefacts of this target.
            precision: Only artefacts of this precision.

        Raises:
            BundleError: The bundle has no such artefact; the message lists its artefacts.
        """
        candidates = [
            a
            for a in self.manifest.artifacts
            if target in (None, a.target) and precision in (None, a.precision)
        ]
        if not candidates:
            has = ", ".join(f"{a.target} {a.precision}" for a in self.manifest.artifacts)
            wanted = " ".join(w for w in (target, precision) if w)
            refused = [
                f"; not made: {r}"
                for r in self.manifest.refused
                if target in (None, r.target) and precision in (None, r.precision)
            ]
            raise BundleError(
                f"{self.path} has no {wanted} artefact; it has: {has or 'none'}{''.join(refused)}"
            )
        targets = target_names()
        return sorted(
            candidates, key=lambda a: (PRECISIONS.index(a.precision), targets.index(a.target))
        )

    def for_engine(
        self, engine: str, target: str | None = None, precision: str | None = None
    ) -> tuple[Runner, list[Artifact]]:
        """Return an engine and the artefacts that it runs, in the order of :meth:`by_preference`.

        Args:
            engine: Name of the engine's runner.
            target: Only artefacts of this target.
            precision: Only artefacts of this precision.

        Raises:
            UsageError: No engine has this name.
            BundleError: The bundle has no such artefact.
        """
        record, runner = runner_named(engine)
        found = [
            a
            for a in self.by_preference(target or record.name, precision)
            if a.target == record.name and a.precision in runner.precisions
        ]
        if not found:
            raise BundleError(
                f"{self.path} has no artefact for {runner.name}, which runs "
                f"{' and '.join(runner.precisions)} files of {record.name}"
            )
        return runner, found

    def select(self, target: str | None = None, precision: str | None = None) -> Artifact:
        """Return the first artefact of :meth:`by_preference`.

        Raises:
            BundleError: The bundle has no such artefact.
        """
        return self.by_preference(target, precision)[0]
