"""Contents of an artefact or of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest, size_in_bytes
from edgeexpo.bundle.manifest import worst_status
from edgeexpo.bundle.records import overall_status, read_records
from edgeexpo.errors import BundleError, UsageError
from edgeexpo.inspection.contents import artifact_suffix, read_contents, readers
from edgeexpo.progress import status
from edgeexpo.short_repr import short_repr
from edgeexpo.spec import to_json
from edgeexpo.workflows.arguments import AnyPath

HIDDEN = ("sources", "parity", "recipe", "model", "tools", "engines")
"""Keys of a document whose values are too long for its representation."""


@dataclass(frozen=True)
class Inspection:
    """The result of :func:`inspect`. It is false for a bundle with a changed or missing file.

    Attributes:
        path: Path of the artefact or of the bundle's folder.
        document: The facts as JSON values. The key ``kind`` names the format, or says ``bundle``.
    """

    path: Path
    document: Mapping[str, Any]

    @property
    def is_bundle(self) -> bool:
        """True for a bundle, false for a single artefact."""
        return bool(self.document["kind"] == "bundle")

    def __bool__(self) -> bool:
        return bool(self.document.get("intact", True))

    def __repr__(self) -> str:
        shown = [f"{k}: {_inline(v)}" for k, v in self.document.items() if k not in HIDDEN]
        return short_repr(f"Inspection of {self.path}", shown)


def _inline(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_inline(entry) for entry in value)
    if isinstance(value, Mapping):
        named = value.get("file") or value.get("name")
        return str(named or ", ".join(f"{k} {v}" for k, v in value.items()))
    return str(value)


def inspect(path: Bundle | AnyPath) -> Inspection:
    """Look into an artefact or a bundle, without running it.

    Args:
        path: An artefact's file, a bundle's folder, or a bundle.

    Returns:
        The facts. The result is false for a bundle with a changed or missing file.

    Raises:
        UsageError: There is no such file, or its format is unknown.
        BundleError: The file or the manifest is damaged.
        MissingDependencyError: The library that reads the format is not installed.

    Example:
        >>> found = edgeexpo.inspect(bundle.path / "Sequential.fp32.onnx")
        >>> found.document["operators"]
        {'Conv': 2, 'Relu': 1}
        >>> bool(edgeexpo.inspect(bundle))  # every file is as it was written
        True
    """
    if isinstance(path, Bundle):
        return Inspection(path.path, bundle_contents(path))
    file = Path(path)
    if not file.exists():
        raise UsageError(f"no file at {file}; expected a bundle's folder or {', '.join(readers())}")
    if artifact_suffix(file):
        return Inspection(file, file_contents(file))
    if not file.is_dir():
        raise UsageError(
            f"{file} has the suffix {file.suffix!r}; expected a bundle's folder or "
            f"one of {', '.join(readers())}"
        )
    return Inspection(file, bundle_contents(Bundle.open(file)))


def file_contents(file: Path) -> dict[str, Any]:
    """Return the size and the digest of an artefact's file, and its contents.

    The contents are those of :func:`edgeexpo.inspection.contents.read_contents`.

    Raises:
        BundleError: The file is damaged.
        MissingDependencyError: The library that reads the format is not installed.
    """
    with status(f"reading {file.name}"):
        return {
            "file": str(file),
            "bytes": size_in_bytes(file),
            "sha256": digest(file),
            **read_contents(file),
        }


def bundle_contents(bundle: Bundle) -> dict[str, Any]:
    """Return the facts in a bundle's manifest, and whether each file is still as it was written."""
    manifest = bundle.manifest
    damaged = {}
    for relative in [*manifest.files, *(a.file for a in manifest.artifacts)]:
        try:
            bundle.file(relative)
        except BundleError as error:
            damaged[relative] = str(error)
    records = read_records(bundle)
    artifacts = [
        {
            **to_json(artifact),
            "status": overall_status(artifact, records),
            "intact": artifact.file not in damaged,
        }
        for artifact in manifest.artifacts
    ]
    parity = manifest.parity if isinstance(manifest.parity, dict) else {}
    return {
        "kind": "bundle",
        "bundle": str(bundle.path),
        "model": to_json(manifest.model),
        "recipe": to_json(manifest.recipe),
        "tools": to_json(manifest.tools),
        "weights_sha256": manifest.weights_sha256,
        "noise_floor": manifest.noise_floor,
        "status": worst_status(a["status"] for a in artifacts),
        "intact": not damaged,
        "damaged": damaged,
        "artifacts": artifacts,
        "records": to_json(records),
        "engines": to_json(manifest.engines),
        "refused": to_json(manifest.refused),
        "parity": {"passed": parity.get("passed"), "reference": parity.get("reference")},
        "frame_format": str(manifest.frames),
        "output_format": str(manifest.output),
    }
