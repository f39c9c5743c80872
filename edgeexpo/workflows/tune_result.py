"""Result of a search for a recipe, for people and for ``export``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.bundle.files import digest
from edgeexpo.short_repr import short_repr
from edgeexpo.workflows.export import tool_versions
from edgeexpo.workflows.tune_candidates import Candidate
from edgeexpo.workflows.tune_recipe import TunedRecipe, relative
from edgeexpo.workflows.tune_search import Plan, SearchResult


@dataclass(frozen=True)
class TuneResult:
    """The result of :func:`edgeexpo.tune`. It is false if no candidate respects the bounds.

    Attributes:
        model: Name of the network for people.
        target: Target whose engine was measured.
        size: (height, width) in pixels at which latency was measured.
        host: Name of the processor.
        threads: Number of threads of the engine.
        reused: Number of candidates from the cache.
        failed: One line for each candidate that could not be lowered or run.
        rows: One row for each candidate, the fastest first, with its label, its quality in dB, its
            latency in ms and its bytes.
        busy: True if other work ran on the machine.
        plain: The candidate in plain INT8 with the unpruned network.
        winner: The best candidate within the bounds. ``None`` if no candidate respects them.
        recipe: Recipe of the winner, for ``export``. ``None`` without a winner.
        path: File of the recipe. ``None`` if no file was written.
        nearest: One line about the candidates nearest to the bounds. ``None`` if there is a winner.
    """

    model: str
    target: str
    size: tuple[int, int]
    host: str
    threads: int
    reused: int
    failed: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    busy: bool
    plain: Candidate
    winner: Candidate | None
    recipe: TunedRecipe | None
    path: Path | None = None
    nearest: str | None = None

    @property
    def at(self) -> str:
        """The size as text, such as ``512x512``."""
        return "{}x{}".format(*self.size)

    def __bool__(self) -> bool:
        return self.winner is not None

    def __repr__(self) -> str:
        found = f"best is {self.winner.label}" if self.winner is not None else self.nearest
        return short_repr(
            f"TuneResult of {self.model}, {self.target} at {self.at}: {found}",
            [
                f"{row['label']}: {row['psnr']:.2f} dB, {row['ms']:.4g} ms, {row['bytes']} bytes"
                for row in self.rows
            ],
        )


def tune_result(
    plan: Plan, found: SearchResult, processor: str, threads: int, busy: bool, folder: Path
) -> TuneResult:
    """Turn a search into its result.

    Args:
        plan: The plan of the search.
        found: The result of the search.
        processor: Name of the processor.
        threads: Number of threads of the engine.
        busy: True if other work ran on the machine.
        folder: Folder of the recipe. The recipe's paths are relative to this folder.
    """
    rows = tuple(_row(c, found) for c in sorted(found.candidates, key=lambda c: c.timing.p50))
    place = {"host": processor, "threads": threads, "at": "{}x{}".format(*found.size)}
    winner = found.winner
    return TuneResult(
        model=plan.name,
        target=plan.target,
        size=found.size,
        host=processor,
        threads=threads,
        reused=found.reused,
        failed=found.failed,
        rows=rows,
        busy=busy,
        plain=found.plain,
        winner=winner,
        recipe=None if winner is None else _recipe(plan, found, winner, rows, place, folder),
    )


def _row(c: Candidate, found: SearchResult) -> dict[str, Any]:
    return {
        "label": c.label,
        "weights": c.variant,
        "keep_float": c.keep_float,
        "psnr": c.worst["psnr"],
        "psnr_mean": c.psnr_mean,
        "ms": c.timing.p50,
        "ms_p90": c.timing.p90,
        "bytes": c.artifact.bytes,
        "finalist": c.key in found.finalists,
        "front": c.key in found.front,
        "plain": c.key == found.plain.key,
        "winner": found.winner is not None and c.key == found.winner.key,
    }


def _recipe(
    plan: Plan,
    found: SearchResult,
    winner: Candidate,
    rows: tuple[Mapping[str, Any], ...],
    place: Mapping[str, Any],
    folder: Path,
) -> TunedRecipe:
    variant = found.variants[winner.variant]
    network = variant.network
    own = [path for path in plan.pruned if path == network.weights]
    weights = own[0] if own else plan.weights
    row = next(row for row in rows if row["winner"])
    return TunedRecipe(
        model=network.preset or plan.name,
        target=plan.target,
        size=found.size,
        weights=relative(weights, folder),
        weights_sha256=None if network.weights is None else digest(network.weights),
        prune=variant.prune,
        keep_float=winner.keep_float,
        calibration=relative(plan.calibration, folder),
        inputs=plan.inputs,
        measured={k: v for k, v in row.items() if k not in ("front", "winner")}
        | {"worst": dict(winner.worst), "gates": [str(g) for g in plan.gates]}
        | dict(place),
        tools=tool_versions(),
        weights_key=network.weights_key,
    )
