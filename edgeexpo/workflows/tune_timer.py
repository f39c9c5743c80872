"""Timing of candidates, by the same measurement as in :func:`edgeexpo.bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeexpo.bundle.manifest import Artifact
from edgeexpo.spec import ModelSpec
from edgeexpo.workflows.latency import Contender, check_bench_size, measure_latency, rows
from edgeexpo.workflows.tune_candidates import Timer, Timing


def timer(threads: int, runs: int) -> Timer:
    """Return a function that times artefacts in child processes that take turns.

    Args:
        threads: Number of threads of each engine.
        runs: Number of timed runs of each artefact.
    """

    def time(
        spec: ModelSpec, files: Sequence[tuple[Artifact, Path]], picture: tuple[int, int]
    ) -> list[Timing]:
        contenders = []
        for artifact, path in files:
            side = spec.fixed_size or picture
            check_bench_size(artifact, side)
            contenders.append(Contender(spec, artifact, path, side, threads, path.parent))
        measure_latency(contenders, runs)
        return [Timing(row["ms_p50"], row["ms_p90"]) for row in rows(contenders)]

    return time
