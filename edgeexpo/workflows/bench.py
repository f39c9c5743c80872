"""The verb ``bench``: latency, memory and size of artefacts, next to the reference program."""

from __future__ import annotations

import importlib.util
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import MissingDependencyError
from edgeexpo.host import host, load_average
from edgeexpo.processor import cpu_features
from edgeexpo.remote.address import HERE
from edgeexpo.remote.host import RemoteHost
from edgeexpo.runtime.remembered_times import remember_times
from edgeexpo.short_repr import short_repr
from edgeexpo.targets import Runner, Target, target_named
from edgeexpo.workflows.arguments import AnyPath
from edgeexpo.workflows.latency import TORCH, Contender, check_bench_size, measure_latency, rows

REFERENCE = "reference.pt2"
"""File name of the reference program in a bundle."""


@dataclass(frozen=True)
class BenchResult:
    """The measurements of :func:`bench`.

    Attributes:
        host: Facts about this machine, with its load at the start of the timing.
        runs: Number of timed runs of each program.
        rows: One row for each program: latency in ms, peak memory in MB, bytes and speed-ups.
        others: Facts about the other machines that took part, by their address.
    """

    host: Mapping[str, Any]
    runs: int
    rows: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """True if other work ran on the machine at the start of the timing."""
        return bool((self.host["load"] or 0) > 0.5 * self.host["cores"])

    def __repr__(self) -> str:
        return short_repr(
            f"BenchResult: {self.host['cpu']}, {self.runs} runs each",
            [_row_in_short(row) for row in self.rows],
        )


def _row_in_short(row: Mapping[str, Any]) -> str:
    name = (row["file"] or "torch eager") + (f" on {row['on']}" if "on" in row else "")
    if row["ms_p50"] is None:
        return f"{name}: {row['note']}"
    return f"{name}: {row['ms_p50']:g} ms (p90 {row['ms_p90']:g}), peak {row['peak_rss_mb']:g} MB"


def bench(
    bundles: Bundle | AnyPath | Iterable[Bundle | AnyPath],
    *,
    target: str | None = None,
    precision: str | None = None,
    size: tuple[int, int] | None = None,
    threads: int | None = None,
    runs: int = 10,
    remember: bool = False,
    on: Sequence[str] = (),
) -> BenchResult:
    """Time every artefact of one or several bundles next to torch.

    Every program runs in its own child process. The children take turns, run by run.

    Args:
        bundles: A bundle or its folder, or several of them.
        target: Time only artefacts of this target.
        precision: Time only artefacts of this precision.
        size: (height, width) of the picture in pixels. By default, the exported size.
        threads: Number of threads of each engine. By default, one for each core.
        runs: Number of timed runs of each program, after :data:`WARMUP` runs to warm up.
        remember: Keep the times in the user's cache folder. ``runtime.load`` and ``edgeexpo run``
            then take the fastest engine for this bundle on this host.
        on: Addresses of machines that time the artefacts instead of this one, such as
            ``ssh://pi@camera``. The word ``here`` stands for this machine. The times are taken
            there, without the connection.

    Returns:
        The measurements. Times are medians and 90th percentiles in ms, and memory is in MB (10^6
        bytes).

    Raises:
        UsageError: An artefact does not accept the size.
        BundleError: A bundle is damaged or has no such artefact.
        EngineError: An engine failed while it was timed.
        MissingDependencyError: The engine of ``target`` is not installed.
        HostError: A machine of ``on`` cannot be reached, lacks something, or was lost.

    Example:
        >>> times = edgeexpo.bench(bundle, runs=2, threads=1)
        >>> {"torch", "onnxruntime"} <= {row["engine"] for row in times.rows}
        True
    """
    given = [bundles] if isinstance(bundles, (str, os.PathLike, Bundle)) else list(bundles)
    machine = host()
    opened = [b if isinstance(b, Bundle) else Bundle.open(b) for b in given]
    found: list[Contender] = []
    others: dict[str, Mapping[str, Any]] = {}
    with ExitStack() as stack:
        for address in dict.fromkeys(on or (HERE,)):
            if address == HERE:
                chosen = Selection(target, precision, size, threads or machine["cores"])
                found += [c for bundle in opened for c in contenders(bundle, chosen)]
                continue
            other = stack.enter_context(RemoteHost(address))
            others[other.name] = other.ready()
            chosen = Selection(target, precision, size, threads or other.facts["cores"])
            found += [c for bundle in opened for c in contenders_there(bundle, chosen, other)]
        machine["load"] = load_average()
        measure_latency([c for c in found if c.note is None], runs)
        result = BenchResult(machine, runs, tuple(rows(found)), others)
    if remember:
        for bundle in opened:
            remember_times(bundle, _medians(bundle, found))
    return result


def _medians(bundle: Bundle, found: Iterable[Contender]) -> dict[tuple[str, str], float]:
    """Return the median times of a bundle's artefacts in ms, by file and engine."""
    return {
        (c.artifact.file, c.engine_name): statistics.median(c.ms)
        for c in found
        if c.host is None and c.folder == bundle.path and c.artifact is not None and c.ms
    }


@dataclass(frozen=True)
class Selection:
    """A choice of artefacts to time, and the conditions of the timing.

    Attributes:
        target: Target of the artefacts, or ``None`` for every target.
        precision: Precision of the artefacts, or ``None`` for every precision.
        size: (height, width) of the picture in pixels, or ``None`` for the exported size.
        threads: Number of threads of each engine.
    """

    target: str | None
    precision: str | None
    size: tuple[int, int] | None
    threads: int


def contenders(bundle: Bundle, chosen: Selection) -> list[Contender]:
    """Return the reference program and the chosen artefacts of a bundle.

    Raises:
        BundleError: The bundle has no such artefact.
        UsageError: An artefact does not accept the size.
        MissingDependencyError: The engine of the chosen target is not installed.
    """
    bundle.select(chosen.target, chosen.precision)
    manifest = bundle.manifest
    picture = chosen.size or manifest.model.fixed_size or manifest.recipe.size
    found = [_reference(bundle, picture, chosen.threads)]
    for artifact in manifest.artifacts:
        if chosen.target not in (None, artifact.target):
            continue
        if chosen.precision not in (None, artifact.precision):
            continue
        record = target_named(artifact.target)
        for runner in (record.runner, *record.more_runners):
            if artifact.precision not in runner.precisions:
                continue
            note = _unmeasurable(artifact, record, runner, chosen.target)
            if note is not None and runner is not record.runner:
                continue  # nobody asked for a further engine that is not there
            if note is None:
                check_bench_size(artifact, picture)
            path = bundle.file(artifact.file)
            row = Contender(
                manifest.model, artifact, path, picture, chosen.threads, bundle.path, note
            )
            row.runner = runner
            found.append(row)
    return found


def contenders_there(bundle: Bundle, chosen: Selection, other: RemoteHost) -> list[Contender]:
    """Return the chosen artefacts of a bundle, to be timed on another machine.

    Raises:
        BundleError: The bundle has no such artefact.
        UsageError: An artefact does not accept the size.
        HostError: The machine was lost.
    """
    wanted = bundle.by_preference(chosen.target, chosen.precision)
    manifest = bundle.manifest
    picture = chosen.size or manifest.model.fixed_size or manifest.recipe.size
    found = []
    for artifact in (a for a in manifest.artifacts if a in wanted):
        record = target_named(artifact.target)
        for runner in (record.runner, *record.more_runners):
            if artifact.precision not in runner.precisions:
                continue
            note = runner.lacks(artifact.precision, other.facts["cpu_features"])
            try:
                other.runner(record, runner)
            except MissingDependencyError as error:
                note = str(error)
            if note is not None and runner is not record.runner:
                continue  # nobody asked for a further engine that is not there
            check_bench_size(artifact, picture)
            path = bundle.file(artifact.file)
            row = Contender(
                manifest.model, artifact, path, picture, chosen.threads, bundle.path, note
            )
            row.runner, row.host = runner, other
            found.append(row)
    return found


def _reference(bundle: Bundle, picture: tuple[int, int], threads: int) -> Contender:
    path, model = bundle.path / REFERENCE, bundle.manifest.model
    row = Contender(model, None, path, picture, threads, bundle.path)
    if not row.path.exists():
        row.note = f"{REFERENCE} is not in the bundle"
    elif importlib.util.find_spec(TORCH) is None:
        row.note = "torch is not installed"
    else:
        bundle.file(REFERENCE)
    return row


def _unmeasurable(
    artifact: Artifact, target: Target, runner: Runner, asked: str | None
) -> str | None:
    # The time of an interpreter or an emulator would say nothing about the device.
    if not target.runs_here:
        return f"not measurable on this host: {target.title} runs on {target.platform_title}"
    if runner.emulates:
        return f"not measurable: {runner.title} only emulates {runner.emulates}"
    if lacking := runner.lacks(artifact.precision, cpu_features()):
        return lacking
    package, extra = runner.module.partition(".")[0], runner.extra
    if importlib.util.find_spec(package) is not None:
        return None
    if asked is not None and runner is target.runner:
        raise MissingDependencyError(
            f"{package} is not installed and runs {artifact.file}; "
            f"in a clone of edgeexpo: pip install '.[{extra}]'"
        )
    return f"{package} is not installed"
