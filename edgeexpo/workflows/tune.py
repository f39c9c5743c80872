"""The search for a recipe: weights x operators in float, each candidate measured on its engine."""

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
from edgeexpo.models.foreign import Inputs, input_texts, is_foreign
from edgeexpo.models.pruned_weights import PRUNED, read_metadata
from edgeexpo.parity.gates import Gates, gates_of
from edgeexpo.parity.gates import gate_holds as within
from edgeexpo.progress import note
from edgeexpo.spec import Gate, ModelSpec
from edgeexpo.targets import DEFAULT_TUNE_TARGET, target_named
from edgeexpo.workflows.arguments import AnyPath, optional_path, paths
from edgeexpo.workflows.host import host, load_average
from edgeexpo.workflows.networks import Network, open_network
from edgeexpo.workflows.plots import draw_front
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
from edgeexpo.workflows.tune_recipe import write_recipe
from edgeexpo.workflows.tune_result import TuneResult, tune_result
from edgeexpo.workflows.tune_timer import timer
from edgeexpo.writing import check_file

TUNING_GATE = "psnr>=40"
"""Bound on the worst photograph that a candidate has to respect, unless others are given."""

CACHE = ".edgeexpo/tune"
"""Folder of finished candidates, unless another is given."""

SLACK = 1.25
"""Operators are moved to float until a candidate takes this much longer than the budget."""


@dataclass(frozen=True)
class Plan:
    """What is searched, and under which bounds.

    Attributes:
        model: A name of the zoo, ``path/to/net.py:factory``, or a module.
        target: Of :data:`edgeexpo.targets.TARGETS`.
        gates: Bounds on the artefact's photographs against the unpruned float network.
        max_ms: Largest median latency, ms.
        max_bytes: Largest artefact.
        size: (height, width) of the network and of the pictures that are timed.
        weights: Unpruned checkpoint; the shipped one by default.
        inputs: ``NAME=1x3xHxW`` for every input of a foreign module.
        pruned: Pruned checkpoints to try besides; a shipped one is tried anyway.
        ratios: Ratios to prune by now, without training.
        calibration: Folder that ranges are taken from.
        images: Folder of photographs to judge on.
        most: Sets of operators to try for each set of weights.
    """

    model: str | nn.Module
    target: str
    gates: tuple[Gate, ...]
    max_ms: float | None = None
    max_bytes: int | None = None
    size: tuple[int, int] | None = None
    weights: Path | None = None
    inputs: tuple[str, ...] = ()
    pruned: tuple[Path, ...] = ()
    ratios: tuple[float, ...] = ()
    calibration: Path | None = None
    images: Path | None = None
    most: int = 5

    @property
    def name(self) -> str:
        """What a person calls the network."""
        return self.model if isinstance(self.model, str) else type(self.model).__name__


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        candidates: All that were measured; finalists have the times of the last, common run.
        finalists: Keys of those timed again together: the front, the best within the bounds, and
            plain INT8 of the unpruned network.
        front: Keys of the finalists that no other dominates.
        winner: ``None`` when nothing respects the bounds.
        plain: Plain INT8 of the unpruned network.
        reused: How many came from the cache.
        failed: A line for each candidate that could not be lowered or run.
        variants: By label.
        size: (height, width).
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


def tune(
    model: str | nn.Module,
    *,
    target: str = DEFAULT_TUNE_TARGET,
    gates: Gates = TUNING_GATE,
    max_ms: float | None = None,
    max_bytes: int | None = None,
    size: tuple[int, int] | None = None,
    weights: AnyPath | None = None,
    inputs: Inputs = (),
    pruned: AnyPath | Sequence[AnyPath] = (),
    prune: float | Sequence[float] = (),
    calibration: AnyPath | None = None,
    images: AnyPath | None = None,
    candidates: int = 5,
    threads: int | None = None,
    runs: int = 10,
    cache: AnyPath = CACHE,
    plot: AnyPath | None = None,
    output: AnyPath | None = None,
    force: bool = False,
) -> TuneResult:
    """Search pruning and operators in float, each candidate measured on its engine.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, or a module in memory, which stays
            unchanged; the recipe then has its class name as ``model``.
        target: Of :data:`edgeexpo.spec.TARGETS`.
        gates: Bounds on the worst photograph against the unpruned float network.
        max_ms: Largest median latency, ms.
        max_bytes: Largest artefact.
        size: (height, width) of the network and of the pictures that are timed.
        weights: Unpruned checkpoint; the shipped one, or the module's own weights, by default.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        pruned: Pruned checkpoints of a network of the zoo to try besides; a shipped one is tried
            anyway.
        prune: Ratios to prune by now, without training.
        calibration: Folder that ranges are taken from; the embedded photographs by default.
        images: Folder of photographs to judge on; the embedded ones by default.
        candidates: Sets of operators to try for each set of weights.
        threads: Threads of the engine; one a core by default.
        runs: Timed runs of each candidate.
        cache: Folder of finished candidates; a search that was ended goes on from here.
        plot: PNG to draw the Pareto front in.
        output: File for the recipe; by default nothing is written.
        force: Replace existing files.

    Returns:
        All candidates, and the recipe of the best within the bounds; false where nothing respects
        them, and then no recipe is written.

    Raises:
        UsageError: Bad arguments, pictures or weights.
        MissingDependencyError: The target's engine does not run on this host, or its converter or
            matplotlib is not installed.
        ExportError: Plain INT8 cannot be lowered.
        OutputError: A file cannot be written.

    Example:
        >>> found = edgeexpo.tune(
        ...     network,
        ...     target="onnx",
        ...     gates="psnr>=20",
        ...     inputs={"input": (1, 3, 64, 64)},
        ...     calibration=photographs,
        ...     images=photographs,
        ...     candidates=1,
        ...     runs=2,
        ...     cache=folder / "cache",
        ... )
        >>> found.recipe.model, len(found.rows)
        ('Sequential', 1)
    """
    destination, drawing = optional_path(output), optional_path(plot)
    for path in (destination, drawing):
        if path is not None:
            check_file(path, force)
    plan = Plan(
        model=model,
        target=target,
        gates=gates_of(gates),
        max_ms=max_ms,
        max_bytes=max_bytes,
        size=size,
        weights=optional_path(weights),
        inputs=input_texts(inputs),
        pruned=paths(pruned),
        ratios=(prune,) if isinstance(prune, (int, float)) else tuple(prune),
        calibration=optional_path(calibration),
        images=optional_path(images),
        most=candidates,
    )
    machine = host()
    count = threads or machine["cores"]
    found = search(plan, Path(cache), timer(count, runs), f"{machine['cpu']}, {count}")
    busy = (load_average() or 0) > count + 0.5 * machine["cores"]
    folder = Path() if destination is None else destination.parent
    result = tune_result(plan, found, machine["cpu"], count, busy, folder)
    if not result:
        result = dataclasses.replace(result, nearest=reachable(plan, found))
    if drawing is not None:
        draw_front(drawing, f"{plan.name}, {target}, {result.at}", result.rows)
    if destination is not None and result.recipe is not None:
        write_recipe(destination, result.recipe)
        result = dataclasses.replace(result, path=destination)
    return result


def search(plan: Plan, cache: Path, timer: Timer, place: str) -> SearchResult:
    """Measure candidates until their list ends; finished ones are taken from ``cache``.

    For each set of weights operators move to float one by one, first the one whose picture gains
    most (:func:`edgeexpo.workflows.tune_candidates.layers`).

    Args:
        plan: What to search.
        cache: Folder of finished candidates.
        timer: Measures latency.
        place: Processor and threads, on which latency depends.

    Raises:
        UsageError: Bad arguments, pictures or weights.
        MissingDependencyError: The target's engine does not run on this host, or its converter is
            not installed.
        ExportError: Plain INT8 cannot be lowered.
    """
    target = target_named(plan.target)
    if not target.runs_here:
        raise MissingDependencyError(
            f"{target.title} runs on {target.platform_title}, and tune measures on the engine; "
            "tune there, or for another `target`"
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
    """Time the finalists again, together, and let those times decide."""
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
    """Those that no other equals or beats in worst PSNR, latency and bytes, and beats in one."""

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
    """With a budget of time or bytes, the best picture within it; else the fastest.

    Only candidates whose gates hold; ``None`` when there is none.
    """
    within = [c for c in found if respects(plan, c)]
    if plan.max_ms is None and plan.max_bytes is None:
        return min(within, key=lambda c: c.timing.p50, default=None)
    return max(within, key=lambda c: c.worst["psnr"], default=None)


def respects(plan: Plan, c: Candidate) -> bool:
    """True where all gates and budgets hold."""
    return candidate_holds(plan, c) and fits(plan, c)


def candidate_holds(plan: Plan, c: Candidate) -> bool:
    """True where all gates hold."""
    return all(within(gate, c.worst[gate.metric]) for gate in plan.gates)


def fits(plan: Plan, c: Candidate) -> bool:
    """True within the budgets of time and bytes."""
    return (plan.max_ms is None or c.timing.p50 <= plan.max_ms) and (
        plan.max_bytes is None or c.artifact.bytes <= plan.max_bytes
    )


def reachable(plan: Plan, found: SearchResult) -> str:
    """What comes nearest to bounds that nothing respects, in one line."""
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
    """The unpruned network first; weights that occur twice only once."""
    whole = open_network(plan.model, plan.size, plan.weights, plan.inputs)
    seen = set()
    every = itertools.chain([WeightSet("unpruned", whole)], _given(plan), _shipped(plan, whole))
    for variant in every:
        if variant.digest not in seen:
            seen.add(variant.digest)
            yield variant


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
        network = open_network(plan.model, plan.size, plan.weights, plan.inputs, prune=ratio)
        yield WeightSet(f"pruned {ratio:g}", network, ratio)


def _sets(bench: Bench, variant: WeightSet, most: int) -> Iterator[Keep]:
    """Growing sets of operators in float: none, one, two, three, four, six, eight, twelve..."""
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
