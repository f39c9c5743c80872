"""Records of a bundle: verdicts of engines on hosts, kept beside the manifest.

The manifest holds the verdict of the export, by the target's own engine. A record adds the verdict
of another engine, version or host. Records lie in the folder ``records`` and are not part of the
bundle's digest, so that a bundle can be proven again without being changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import STATUSES, Artifact, worst_status
from edgeexpo.bundle.untrusted import check_inside, read_json
from edgeexpo.engine_versions import installed_version
from edgeexpo.errors import BundleError
from edgeexpo.processor import cpu_features, processor_name
from edgeexpo.spec import from_json, to_json
from edgeexpo.targets import Runner
from edgeexpo.writing import write_json

RECORDS = "records"
"""Name of the folder of records inside a bundle."""


@dataclass(frozen=True)
class EngineRecord:
    """The verdict of one engine on one artefact.

    Attributes:
        file: The artefact's path relative to the bundle.
        sha256: The artefact's digest. A record of another digest does not count.
        engine: Name of a runner in :data:`edgeexpo.targets.TARGETS`.
        version: The engine's version.
        precision: Precision in which the engine computed.
        processor: Name of the host's processor.
        features: The processor's features (:data:`edgeexpo.processor.CPU_FEATURES`).
        status: ``verified``, ``unverified`` or ``failed``.
        error: The reason for a failure or a missing verification, one line.
        worst, worst_probe, total: The metrics, as in
            :class:`edgeexpo.parity.verdict.ArtifactParity`.
        pictures: Number of pictures that were compared.
    """

    file: str
    sha256: str
    engine: str
    version: str
    precision: str
    processor: str
    features: tuple[str, ...]
    status: str
    error: str | None = None
    worst: Mapping[str, float] = field(default_factory=dict)
    worst_probe: Mapping[str, float] = field(default_factory=dict)
    total: Mapping[str, float] = field(default_factory=dict)
    pictures: int = 0

    def made_here(self, version: str | None) -> bool:
        """Tell whether the engine's version ``version`` made the record on such a processor."""
        here = (version, processor_name(), cpu_features())
        return (self.version, self.processor, self.features) == here

    @property
    def name(self) -> str:
        """Name of the record's file. A later record of the same engine and host has the same."""
        host = f"{self.version} {self.processor} {' '.join(self.features)}"
        file = self.file.replace("/", "-")
        return f"{file}.{self.engine}.{hashlib.sha256(host.encode()).hexdigest()[:8]}.json"


def write_record(bundle: Bundle, record: EngineRecord) -> None:
    """Write a record into the bundle's folder, in one step.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(bundle.path / RECORDS / record.name, to_json(record))


def read_records(bundle: Bundle) -> tuple[EngineRecord, ...]:
    """Return the records of the bundle's artefacts, in the order of their file names.

    Records of files that are no artefacts of the bundle, or no longer the same, are left out.

    Raises:
        BundleError: A record is damaged.
    """
    digests = {artifact.file: artifact.sha256 for artifact in bundle.manifest.artifacts}
    found = []
    for path in sorted((bundle.path / RECORDS).glob("*.json")):
        try:
            check_inside(bundle.path, path)
            record = from_json(EngineRecord, read_json(path))
            if record.status not in STATUSES:
                raise ValueError(f"its status is {record.status!r}")
        except (OSError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(
                f"{path} is no record of an engine ({error}); remove it, and check the bundle "
                "again with: edgeexpo parity"
            ) from error
        if digests.get(record.file) == record.sha256:
            found.append(record)
    return tuple(found)


def verdict_of(
    artifact: Artifact, runner: Runner, own: bool, records: Sequence[EngineRecord]
) -> str:
    """Return the status of an artefact in one engine on this host.

    A record of this host and of the installed version decides. Without one, the worst of the other
    records decides, together with the manifest's verdict where the engine is the target's own.

    Args:
        artifact: The artefact.
        runner: The engine.
        own: True if the engine is the one that the target's record names first.
        records: The bundle's records.
    """
    fitting = [r for r in records if (r.file, r.engine) == (artifact.file, runner.name)]
    version = installed_version(runner.versions.package)
    here = [r.status for r in fitting if r.made_here(version)]
    statuses = here or [r.status for r in fitting] + ([artifact.status] if own else [])
    return worst_status(statuses)


def overall_status(artifact: Artifact, records: Sequence[EngineRecord]) -> str:
    """Return the status of an artefact over the export and all records of its own precision.

    It is ``verified`` only if no engine failed.
    """
    others = [
        r.status for r in records if (r.file, r.precision) == (artifact.file, artifact.precision)
    ]
    if "failed" in others:
        return "failed"
    if artifact.status == "unverified" and "verified" in others:
        return "verified"
    return artifact.status
