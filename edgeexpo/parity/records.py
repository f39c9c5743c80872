"""Records of a parity check, kept in the bundle beside its manifest."""

from __future__ import annotations

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.records import EngineRecord, write_record
from edgeexpo.engine_versions import installed_version
from edgeexpo.parity.verdict import OtherHost, ParityReport
from edgeexpo.processor import cpu_features, processor_name
from edgeexpo.targets import runner_named


def keep_records(bundle: Bundle, report: ParityReport) -> tuple[EngineRecord, ...]:
    """Write the verdict of every artefact that ran as a record into the bundle.

    The bundle's digest stays the same. An artefact that no engine ran gets no record, and neither
    does one whose machine was lost. Records of other machines hold their processor and version.

    Args:
        bundle: The bundle that was checked.
        report: The check, with the bundle's own gates.

    Returns:
        The records.

    Raises:
        OutputError: A record cannot be written.
    """
    digests = {artifact.file: artifact.sha256 for artifact in bundle.manifest.artifacts}
    found = []
    for verdict in report.artifacts:
        if verdict.verified_by is None:
            continue
        _, runner = runner_named(verdict.verified_by)
        here = OtherHost(
            "",
            processor_name(),
            cpu_features(),
            "",
            installed_version(runner.versions.package) or "unknown",
        )
        host = verdict.host or here
        if host.lost:
            continue
        record = EngineRecord(
            file=verdict.file,
            sha256=digests[verdict.file],
            engine=runner.name,
            version=host.version,
            precision=verdict.precision,
            processor=host.processor,
            features=host.features,
            status=verdict.status,
            error=verdict.error,
            worst=verdict.worst,
            worst_probe=verdict.worst_probe,
            total=verdict.total,
            pictures=len(verdict.per_input),
        )
        write_record(bundle, record)
        found.append(record)
    return tuple(found)
