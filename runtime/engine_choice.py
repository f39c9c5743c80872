"""The choice of an artefact and of the engine that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.bundle.records import EngineRecord, read_records, verdict_of
from edgeexpo.engine_versions import installed_version
from edgeexpo.errors import BundleError
from edgeexpo.processor import cpu_features
from edgeexpo.runtime.remembered_times import recall_times
from edgeexpo.spec import PRECISIONS
from edgeexpo.targets import Runner, target_named


@dataclass(frozen=True)
class Choice:
    """An artefact and an engine that can run it.

    Attributes:
        artifact: The artefact.
        runner: The engine.
        status: The artefact's status in this engine on this host.
    """

    artifact: Artifact
    runner: Runner
    status: str


@dataclass(frozen=True)
class Choices:
    """What a bundle offers to a request.

    Attributes:
        ranked: The choices of one precision, the best first; at least one.
        notes: Lines that every user has to read: what failed and is taken, or is left out.
        details: Lines about how the order came about.
    """

    ranked: tuple[Choice, ...]
    notes: tuple[str, ...]
    details: tuple[str, ...]


def choices(
    bundle: Bundle,
    target: str | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> Choices:
    """Return the artefacts and engines for a request, the best first.

    INT8 comes first, then the next precisions. What failed its gates is taken only if the request
    names it and offers nothing else. An engine that is not the target's own is offered if a record
    of the bundle says that it was verified, or if the request names it. Within a precision the
    times decide that ``bench`` was asked to remember; without them, the order of the targets.

    Args:
        bundle: The bundle.
        target: Only artefacts of this target.
        precision: Only artefacts of this precision.
        engine: Only this engine, by the name of its runner.

    Raises:
        BundleError: The bundle has no such artefact, or all of its artefacts failed.
        UsageError: No engine has this name.
    """
    if engine is None:
        found = _offered(bundle, target, precision)
    else:
        found = _named(bundle, engine, target, precision)
    sound = [choice for choice in found if choice.status != "failed"]
    notes = []
    if not sound:
        if (target, precision, engine) == (None, None, None):
            raise BundleError(
                f"all artefacts of {bundle.path} failed their gates ({_names(found)}); export "
                "again, or name one with `target` or `precision` to use it in spite of that"
            )
        sound = found
        notes = [f"edgeexpo: {_names(found)} failed its gates and is used because it was named"]
    best = min(PRECISIONS.index(choice.artifact.precision) for choice in sound)
    left = [c for c in found if c.status == "failed" and c not in sound]
    if better := [c for c in left if PRECISIONS.index(c.artifact.precision) < best]:
        notes.append(f"edgeexpo: {_names(better)} failed its gates and is not used")
    times, detail = recall_times(bundle)
    ranked = sorted(
        (c for c in sound if PRECISIONS.index(c.artifact.precision) == best),
        key=lambda c: times.get((c.artifact.file, c.runner.name), float("inf")),
    )
    return Choices(tuple(ranked), tuple(notes), (detail, *(_line(c, times) for c in ranked)))


def fault_of(bundle: Bundle, choice: Choice) -> str | None:
    """Return why the engine cannot be trusted with the artefact here, or ``None``.

    The processor may lack instructions, or the installed version may be a wrong one.
    """
    if lacking := choice.runner.lacks(choice.artifact.precision, cpu_features()):
        return f"{lacking}; choose another `engine`"
    known = [choice.runner.versions]
    if choice.runner.name in bundle.manifest.engines:
        known.append(bundle.manifest.engines[choice.runner.name])
    version = installed_version(choice.runner.versions.package)
    if version is None:
        return None
    precision = choice.runner.precision_of(choice.artifact.precision)
    faults = (versions.fault(precision, version, cpu_features()) for versions in known)
    return next((fault for fault in faults if fault), None)


def _offered(bundle: Bundle, target: str | None, precision: str | None) -> list[Choice]:
    """Return the artefacts in the engines that are taken without being named."""
    records = read_records(bundle)
    found = []
    for artifact in bundle.by_preference(target, precision):
        record = target_named(artifact.target)
        for runner in (*record.more_runners, record.runner):
            choice = _choice(artifact, runner, records)
            proven = runner.computes is None and choice.status == "verified"
            if artifact.precision in runner.precisions and (runner is record.runner or proven):
                found.append(choice)
    return found


def _named(bundle: Bundle, engine: str, target: str | None, precision: str | None) -> list[Choice]:
    """Return the artefacts in the engine that a request names."""
    records = read_records(bundle)
    runner, artifacts = bundle.for_engine(engine, target, precision)
    return [_choice(artifact, runner, records) for artifact in artifacts]


def _choice(artifact: Artifact, runner: Runner, records: Sequence[EngineRecord]) -> Choice:
    own = runner not in target_named(artifact.target).more_runners
    return Choice(artifact, runner, verdict_of(artifact, runner, own, records))


def _names(found: list[Choice]) -> str:
    return ", ".join(dict.fromkeys(choice.artifact.file for choice in found))


def _line(choice: Choice, times: dict[tuple[str, str], float]) -> str:
    ms = times.get((choice.artifact.file, choice.runner.name))
    measured = "" if ms is None else f", {ms:.1f} ms"
    return f"{choice.artifact.file} in {choice.runner.name}: {choice.status}{measured}"
