"""The search for the best recipe: candidates, bounds, and the Pareto front between them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgeexpo.errors import EngineError, ExportError, MissingDependencyError, UsageError
from edgeexpo.export.lowering import check_converters
from edgeexpo.imaging.samples import samples
from edgeexpo.models import zoo
from edgeexpo.models.names import is_foreign
from edgeexpo.models.pruned_weights import PRUNED, read_metadata
from edgeexpo.parity.gates import gate_holds as within
from edgeexpo.progress import note
from edgeexpo.spec import Gate, ModelSpec
from edgeexpo.targets import target_named
from edgeexpo.workflows.networks import Network, open_network
from edgeexpo.workflows.tune_candidates import (
    Bench,
    Candidate,
    Keep,
    Timer,
    WeightSet,
    candidate,
    layers,
    path_of,
)

SLACK = 1.25
"""Factor of the latency budget above which no more operators are moved to float."""


@dataclass(frozen=True)
class Plan:
    """The plan of a search: the candidates and the bounds.

    Attributes:
        model: A name of the zoo, ``path/to/net.py:factory``, or a module.
        target: Name of a target in :data:`edgeexpo.targets.TARGETS`.
        gates: Bounds on the artefact's photographs against the unpruned float network.
        max_ms: Largest median latency in ms. ``None`` for no bound.
        max_bytes: Largest size of the artefact in bytes. ``None`` for no bound.
        size: (height, width) in pixels of the network and of the pictures that are timed.
        weights: Unpruned checkpoint. ``None`` for the shipped weights or the module's own.
        weights_key: Key or prefix of the weights in the checkpoint. ``None`` for the averaged ones.
        inputs: ``NAME=1x3xHxW`` for every input of a foreign module.
        pruned: Pruned checkpoints to try too. A shipped checkpoint is always tried.
        ratios: Ratios to prune by now, without training.
        calibration: Folder of pictures to take ranges from. ``None`` for the embedded photographs.
        images: Folder of photographs to judge on. ``None`` for the embedded photographs.
        most: Number of sets of operators to try for each set of weights.
    """

    model: str | nn.Module
    target: str
    gates: tuple[Gate, ...]
    max_ms: float | None = None
    max_bytes: int | None = None
    size: tuple[int, int] | None = None
    weights: Path | None = None
    weights_key: str | None = None
    inputs: tuple[str, ...] = ()
    pruned: tuple[Path, ...] = ()
    ratios: tuple[float, ...] = ()
    calibration: Path | None = None
    images: Path | None = None
    most: int = 5

    @property
    def name(self) -> str:
        """Name of the network for people."""
        return self.model if isinstance(self.model, str) else type(self.model).__name__


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        candidates: All measured candidates. Finalists have the times of the last, common run.
        finalists: Keys of the candidates that were timed again together. They are the front, the
            front within the bounds, and plain INT8 of the unpruned network.
        front: Keys of the finalists that no other finalist dominates.
        winner: The best candidate within the bounds. ``None`` if no candidate respects them.
        plain: The candidate in plain INT8 with the unpruned network.
        reused: Number of candidates from the cache.
        failed: One line for each candidate that could not be lowered or run.
        variants: Sets of weights by label.
        size: (height, width) in pixels at which latency was measured.
    """

    candidates: tuple[Candidate, ...]
    finalists: tuple[str, ...]
    front: tuple[str, ...]
    winner: Candidate | None
    plain: Candidate
    reused: int
    failed: tuple[str, ...]
    variants: dict[str, WeightSet]
    size: tuple[int, int]


def search(plan: Plan, cache: Path, timer: Timer, place: str) -> SearchResult:
    """Measure all candidates of a plan, except finished candidates in ``cache``.

    For each set of weights, growing sets of operators move to float. The operator whose picture
    gains most moves first (:func:`edgeexpo.workflows.tune_candidates.layers`).

    Args:
        plan: The candidates and the bounds.
        cache: Folder of finished candidates.
        timer: Function that measures latency.
        place: Processor and number of threads, on which latency depends.

    Raises:
        UsageError: An argument, a picture, the weights or the module cannot be used.
        MissingDependencyError: The target's engine does not run on this host, or its converter is
            not installed.
        ExportError: Plain INT8 cannot be lowered.
        EngineError: The engine fails on plain INT8.
        OutputError: The cache cannot be written.
    """
    target = target_named(plan.target)
    if not target.runs_here:
        raise MissingDependencyError(
            f"{target.title} runs on {target.platform_title}, and tune measures on the engine; "
            "tune there, or for another `target`"
        )
    if target.runner.emulates:
        raise MissingDependencyError(
            f"{target.runner.title} only emulates {target.runner.emulates}, and tune measures "
            "times; tune for another `target`"
        )
    check_converters([plan.target])
    more = iter(_variants(plan))
    whole = next(more)
    reference = whole.network
    _check_gates(plan, reference.spec)
    variants = [whole, *more]
    shown = samples(len(reference.spec.frames), plan.images, reference.size, seed=0)
    bench = Bench(
        target=plan.target,
        cache=cache,
        calibration=plan.calibration,
        images=plan.images,
        shown=shown,
        reference=variants[0],
        timer=timer,
        place=place,
    )
    found: list[Candidate] = []
    failed: list[str] = []
    reused = 0
    for variant in variants:
        for keep in _sets(bench, variant, plan.most):
            note(f"tune: {variant.label}, float: {_said(keep)}")
            try:
                made, cached = candidate(bench, variant, keep)
            except (ExportError, EngineError) as error:
                if variant is variants[0] and keep == ():
                    raise
                failed.append(f"{variant.label}, float: {_said(keep)}: {error}")
                continue
            made = dataclasses.replace(made, variant=variant.label)
            reused += cached
            found.append(made)
            note(_line(made, cached))
            if keep is not None and plan.max_ms and made.timing.p50 > SLACK * plan.max_ms:
                break
    return _judged(plan, bench, found, variants, reused, failed)


def _check_gates(plan: Plan, spec: ModelSpec) -> None:
    absent = {"correction_snr"} if spec.residual is None else set()
    absent |= {"delta_e_p99"} if spec.outputs[0].channels != 3 else set()
    for gate in plan.gates:
        if gate.metric in absent or gate.statistic == "worst_probe":
            raise UsageError(
                f"{gate.metric} is not measured for {spec.name}; expected a gate on psnr or ssim"
            )


def _judged(
    plan: Plan,
    bench: Bench,
    found: Sequence[Candidate],
    variants: Sequence[WeightSet],
    reused: int,
    failed: Sequence[str],
) -> SearchResult:
    """Time the finalists again together, and choose the winner by those times."""
    plain = next(c for c in found if c.variant == variants[0].label and c.keep_float == ())
    within = [c for c in found if respects(plan, c)]
    chosen = {c.key: c for c in (plain, *pareto(found), *pareto(within))}
    files = [(c.artifact, path_of(bench, c)) for c in chosen.values()]
    whole = bench.reference.network
    timings = bench.timer(whole.spec, files, whole.size)
    again = {
        c.key: dataclasses.replace(c, timing=timing)
        for c, timing in zip(chosen.values(), timings, strict=True)
    }
    finalists = list(again.values())
    return SearchResult(
        candidates=tuple({c.key: again.get(c.key, c) for c in found}.values()),
        finalists=tuple(again),
        front=tuple(c.key for c in pareto(finalists)),
        winner=choose(plan, finalists),
        plain=again[plain.key],
        reused=reused,
        failed=tuple(failed),
        variants={variant.label: variant for variant in variants},
        size=whole.size,
    )


def pareto(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that no other candidate dominates.

    A candidate is compared by its worst PSNR, its latency and its bytes. It dominates another one
    if it is at least as good in all three and better in at least one.
    """

    def costs(c: Candidate) -> tuple[float, float, float]:
        return -c.worst["psnr"], c.timing.p50, float(c.artifact.bytes)

    def dominated(c: Candidate) -> bool:
        return any(
            costs(other) != costs(c)
            and all(a <= b for a, b in zip(costs(other), costs(c), strict=True))
            for other in found
        )

    return [c for c in found if not dominated(c)]


def choose(plan: Plan, found: Sequence[Candidate]) -> Candidate | None:
    """Choose the winner among the candidates that respect all gates and budgets.

    With a budget of time or bytes, the winner has the best worst picture. Without a budget, it is
    the fastest candidate.

    Returns:
        The winner, or ``None`` if no candidate respects the bounds.
    """
    within = [c for c in found if respects(plan, c)]
    if plan.max_ms is None and plan.max_bytes is None:
        return min(within, key=lambda c: c.timing.p50, default=None)
    return max(within, key=lambda c: c.worst["psnr"], default=None)


def respects(plan: Plan, c: Candidate) -> bool:
    """Return true if a candidate respects all gates and budgets."""
    return candidate_holds(plan, c) and fits(plan, c)


def candidate_holds(plan: Plan, c: Candidate) -> bool:
    """Return true if a candidate respects all gates."""
    return all(within(gate, c.worst[gate.metric]) for gate in plan.gates)


def fits(plan: Plan, c: Candidate) -> bool:
    """Return true if a candidate respects the budgets of time and bytes."""
    return (plan.max_ms is None or c.timing.p50 <= plan.max_ms) and (
        plan.max_bytes is None or c.artifact.bytes <= plan.max_bytes
    )


def reachable(plan: Plan, found: SearchResult) -> str:
    """Return one line about the finalists nearest to bounds that no candidate respects."""
    bounds = [str(gate) for gate in plan.gates]
    bounds += [] if plan.max_ms is None else [f"{plan.max_ms:g} ms"]
    bounds += [] if plan.max_bytes is None else [f"{plan.max_bytes} bytes"]
    parts = [f"no candidate respects {', '.join(bounds)}"]
    finalists = [c for c in found.candidates if c.key in found.finalists]
    inside = [c for c in finalists if fits(plan, c)]
    good = [c for c in finalists if candidate_holds(plan, c)]
    if inside:
        parts.append(f"best within the budget: {_facts(max(inside, key=_psnr))}")
    if good:
        parts.append(f"fastest with that quality: {_facts(min(good, key=_ms))}")
        parts.append(f"smallest: {_facts(min(good, key=lambda c: c.artifact.bytes))}")
    if not inside:
        parts.append(f"fastest of all: {_facts(min(finalists, key=_ms))}")
    if not good:
        parts.append(f"best quality: {_facts(max(finalists, key=_psnr))}")
    return "; ".join(parts)


def _variants(plan: Plan) -> Iterator[WeightSet]:
    """Yield the sets of weights, the unpruned network first, without repetitions."""
    whole = _opened(plan)
    seen = set()
    every = itertools.chain([WeightSet("unpruned", whole)], _given(plan), _shipped(plan, whole))
    for variant in every:
        if variant.digest not in seen:
            seen.add(variant.digest)
            yield variant


def _opened(plan: Plan, ratio: float | None = None) -> Network:
    """Open the plan's own network, whole or pruned by ``ratio``."""
    return open_network(
        plan.model,
        plan.size,
        plan.weights,
        plan.inputs,
        prune=ratio,
        weights_key=plan.weights_key,
    )


def _shipped(plan: Plan, whole: Network) -> Iterator[WeightSet]:
    if plan.weights is not None or whole.preset is None:
        return
    path = zoo.WEIGHTS / f"{whole.preset}.pruned.safetensors"
    if path.is_file():
        ratio = float(read_metadata(path)[PRUNED])
        network = open_network(plan.model, plan.size, None, plan.inputs, prune=ratio)
        yield WeightSet(f"pruned {ratio:.2f} (ships)", network, ratio)


def _given(plan: Plan) -> Iterator[WeightSet]:
    if plan.pruned and (not isinstance(plan.model, str) or is_foreign(plan.model)):
        raise UsageError("`pruned` takes checkpoints of the zoo; for a foreign module give `prune`")
    for path in plan.pruned:
        network = open_network(plan.model, plan.size, path, plan.inputs)
        alone = [p.name for p in plan.pruned].count(path.name) == 1
        yield WeightSet(path.name if alone else str(path), network)
    for ratio in plan.ratios:
        yield WeightSet(f"pruned {ratio:g}", _opened(plan, ratio), ratio)


def _sets(bench: Bench, variant: WeightSet, most: int) -> Iterator[Keep]:
    """Yield growing sets of operators in float.

    After the empty set they have one, two, three, four, six, eight, twelve... operators. Shipped
    INT8 weights, ``None``, come before the empty set.
    """
    if variant.network.int8 is not None:
        yield None
    yield ()
    names = layers(bench, variant)
    sizes = (a * 2**b for b in range(16) for a in (2, 3))
    counts = itertools.chain([1], sizes)
    fewer = itertools.takewhile(lambda count: count < len(names), counts)
    for count in itertools.islice(fewer, most - 1):
        yield tuple(names[:count])


def _said(keep: Keep) -> str:
    return "trained INT8" if keep is None else ", ".join(keep) or "none"


def _line(made: Candidate, cached: bool) -> str:
    return f"tune: {_facts(made)}{' (cached)' if cached else ''}"


def _facts(c: Candidate) -> str:
    return f"{c.worst['psnr']:.2f} dB, {c.timing.p50:.4g} ms, {c.artifact.bytes} bytes ({c.label})"


def _psnr(c: Candidate) -> float:
    return c.worst["psnr"]


def _ms(c: Candidate) -> float:
    return c.timing.p50
