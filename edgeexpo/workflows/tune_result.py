"""What a search for a recipe found, for people and for ``export``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.bundle.files import digest
from edgeexpo.short_repr import short_repr
from edgeexpo.workflows.export import tool_versions
from edgeexpo.workflows.tune_candidates import Candidate
from edgeexpo.workflows.tune_recipe import TunedRecipe, relative

if TYPE_CHECKING:
    from edgeexpo.workflows.tune import Plan, SearchResult


@dataclass(frozen=True)
class TuneResult:
    """What :func:`edgeexpo.tune` found; false where nothing respects the bounds.

    Attributes:
        model: What a person calls the network.
        target: Target of the engine that was measured.
        size: (height, width) in pixels at which latency was measured.
        host: The processor.
        threads: Threads of the engine.
        reused: How many candidates came from the cache.
        failed: A line for each candidate that could not be lowered or run.
        rows: One for each candidate, the fastest first: label, quality, latency, bytes.
        busy: True where other work ran on the machine.
        plain: Plain INT8 of the unpruned network.
        winner: The best candidate within the bounds; ``None`` where nothing respects them.
        recipe: Its recipe, for ``export``.
        path: The recipe's file, where one was written.
        nearest: What comes nearest to bounds that nothing respects, in one line.
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
        """The size in words."""
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
        plan: What was searched.
        found: What the search found.
        processor: What it ran on.
        threads: Threads of the engine.
        busy: True where other work ran on the machine.
        folder: The recipe's folder; its paths are relative to it.
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
    )
