"""The manifest of a bundle, and the artefacts that it lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeexpo.engine_versions import EngineVersions
from edgeexpo.frame_format import FrameFormat
from edgeexpo.short_repr import short_repr
from edgeexpo.spec import (
    ExportRecipe,
    ModelSpec,
    SizeRange,
    to_json,
)
from edgeexpo.targets import target_named
from edgeexpo.writing import write_json

SCHEMA_VERSION = 1
"""Version of the manifest's layout that this edgeexpo writes and reads."""

MANIFEST = "manifest.json"
"""File name of the manifest inside a bundle."""

STATUSES = ("failed", "unverified", "verified")
"""Statuses that an artefact can have, worst first."""


@dataclass(frozen=True)
class Artifact:
    """One exported file (or folder) for one target and precision.

    Attributes:
        file: Path relative to the bundle, with forward slashes.
        target: One of :data:`edgeexpo.targets.TARGETS`.
        precision: One of :data:`edgeexpo.spec.PRECISIONS`.
        sha256: :func:`digest` of the file or folder.
        bytes: :func:`size_in_bytes` of the file or folder.
        sizes: Heights and widths that the artefact accepts.
        status: ``verified``, ``unverified`` or ``failed``.
        verified_by: Engine that ran it for verification (``onnxruntime``, ``mil-interpreter``...).
        seconds: Time that the conversion took.
        error: The reason for a failure or a missing verification, one line.
        float_operators: Operators of an INT8 artefact that compute in float, with their counts.
            They are the exact tail and operators without an integer form in the target's engine.
            Their inputs and results are those of the quantised program.
        soc: Chip for which the artefact was checked and run, for targets that compile for one.
        compiled: File beside the artefact that was compiled for the chip. ``None`` without one.
        npu_operators: Operators that the chip's NPU takes, with their counts, by the engine's own
            assignment.
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
    soc: str | None = None
    compiled: str | None = None
    npu_operators: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class InnerNetwork:
    """The network inside artefacts that hold its stages.

    Attributes:
        spec: The network and its stages.
        sizes: Heights and widths that the network takes.
    """

    spec: ModelSpec
    sizes: SizeRange


@dataclass(frozen=True)
class Refusal:
    """A target and precision that an export was asked for and could not make.

    Attributes:
        target: One of :data:`edgeexpo.targets.TARGETS`.
        precision: One of :data:`edgeexpo.spec.PRECISIONS`.
        reason: The operator, the user's line and the way out, one line.
    """

    target: str
    precision: str
    reason: str

    def __str__(self) -> str:
        return f"{self.target} {self.precision}: {self.reason}"


def engine_versions(targets: Collection[str]) -> dict[str, EngineVersions]:
    """Return what is known about the versions of the engines of some targets, by engine."""
    return {
        runner.name: runner.versions
        for name in targets
        for runner in (target_named(name).runner, *target_named(name).more_runners)
    }


def summary(refused: Sequence[Refusal]) -> str:
    """Write refusals in one line; those for one reason share it."""
    by_reason: dict[str, list[str]] = {}
    for refusal in refused:
        by_reason.setdefault(refusal.reason, []).append(f"{refusal.target} {refusal.precision}")
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())


@dataclass(frozen=True)
class Manifest:
    """The description of a bundle.

    Attributes:
        model: The network and its front and back stage.
        recipe: The settings of the export, with all defaults filled in.
        artifacts: The artefacts, in the order in which they were made.
        files: SHA-256 of every other file of the bundle, by relative path.
        tools: Versions of the libraries that the export used.
        weights_sha256: Digest of the weights file; ``None`` for weights made in memory.
        noise_floor: Worst PSNR in dB between the quantised program and the float program over the
            photographs. Both run in torch, so this is the cost of quantisation before any lowering.
            ``None`` without INT8.
        sources: The user's source line (``file:line``) of every operator, by graph node name.
        frames: Format in which frames are read unless the app says otherwise.
        output: Format in which pictures are written unless the app says otherwise.
        parity: The parity record, which is the report of :func:`edgeexpo.check_parity` as JSON.
            ``None`` if parity was never checked.
        refused: What the export was asked for and could not make.
        network: The network inside artefacts that hold its stages. ``model`` then describes the
            whole graph, from frames to the picture. ``None`` for artefacts of the network alone.
        engines: What is known about the versions of the engines that run the artefacts, by engine.
        schema_version: Version of this layout.
    """

    model: ModelSpec
    recipe: ExportRecipe
    artifacts: tuple[Artifact, ...]
    files: Mapping[str, str]
    tools: Mapping[str, str]
    weights_sha256: str | None = None
    noise_floor: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    frames: FrameFormat = field(default_factory=FrameFormat)
    output: FrameFormat = field(default_factory=FrameFormat)
    parity: Any = None
    refused: tuple[Refusal, ...] = ()
    network: InnerNetwork | None = None
    engines: Mapping[str, EngineVersions] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __repr__(self) -> str:
        return short_repr(
            f"Manifest of {self.model.name}: {self.status}",
            [
                *(f"{a.file}: {a.status}, {a.bytes} bytes" for a in self.artifacts),
                *(f"not made: {refusal}" for refusal in self.refused),
            ],
        )

    @property
    def status(self) -> str:
        """The worst status of all artefacts. What was refused has no status."""
        return worst_status(artifact.status for artifact in self.artifacts)


def worst_status(statuses: Iterable[str]) -> str:
    """Return the worst of some statuses; without any, ``unverified``."""
    found = set(statuses)
    return next((status for status in STATUSES if status in found), "unverified")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into ``folder`` in one step: a temporary file, then a rename.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(folder / MANIFEST, to_json(manifest))
