"""Search for the recipe of an export, over sets of weights and sets of operators in float.

Every candidate is measured on the engine of its target.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from edgeexpo.host import host, load_average
from edgeexpo.models.foreign import Inputs, input_texts
from edgeexpo.parity.gates import Gates, gates_of
from edgeexpo.targets import DEFAULT_TUNE_TARGET
from edgeexpo.workflows.arguments import AnyPath, optional_path, paths
from edgeexpo.workflows.plots import draw_front
from edgeexpo.workflows.tune_recipe import write_recipe
from edgeexpo.workflows.tune_result import TuneResult, tune_result
from edgeexpo.workflows.tune_search import Plan, reachable, search
from edgeexpo.workflows.tune_timer import timer
from edgeexpo.writing import check_file

TUNING_GATE = "psnr>=40"
"""Default bound on the worst photograph of a candidate."""

CACHE = ".edgeexpo/tune"
"""Default folder of finished candidates."""


def tune(
    model: str | nn.Module,
    *,
    target: str = DEFAULT_TUNE_TARGET,
    gates: Gates = TUNING_GATE,
    max_ms: float | None = None,
    max_bytes: int | None = None,
    size: tuple[int, int] | None = None,
    weights: AnyPath | None = None,
    weights_key: str | None = None,
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
    """Search for the best pruning and the best set of operators in float.

    Every candidate is lowered to INT8 and measured on the engine of its target.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, ``net.pt2`` of
            ``torch.export.save``, or a module in memory. The module stays unchanged, and the
            recipe names its class as ``model``.
        target: Name of a target in :data:`edgeexpo.targets.TARGETS`.
        gates: Bounds on the worst photograph against the unpruned float network.
        max_ms: Largest median latency in ms. By default, no bound.
        max_bytes: Largest size of the artefact in bytes. By default, no bound.
        size: (height, width) in pixels of the network and of the pictures that are timed.
        weights: Unpruned checkpoint. By default, the shipped weights or the module's own.
        weights_key: Key or prefix of the weights in the checkpoint, as for
            :func:`edgeexpo.export_bundle`.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        pruned: Pruned checkpoints of a network of the zoo to try too. A shipped checkpoint is
            always tried.
        prune: Ratios to prune by now, without training, each above 0 and below 1.
        calibration: Folder of pictures to take ranges from. By default, the embedded photographs.
        images: Folder of photographs to judge on. By default, the embedded photographs.
        candidates: Number of sets of operators to try for each set of weights.
        threads: Number of threads of the engine. By default, one for each core.
        runs: Number of timed runs of each candidate.
        cache: Folder of finished candidates. A search that was stopped continues from there.
        plot: PNG to draw the Pareto front in. By default, nothing is drawn.
        output: File for the recipe. By default, nothing is written.
        force: Replace existing files.

    Returns:
        All candidates, and the recipe of the best candidate within the bounds. The result is false
        if no candidate respects the bounds. Then no recipe is written.

    Raises:
        UsageError: An argument, a picture, the weights or the module cannot be used.
        WeightsError: A checkpoint does not fit.
        ModuleError: ``forward`` fails or cannot be traced.
        MissingDependencyError: The target's engine does not run on this host, or its converter or
            matplotlib is not installed.
        ExportError: Plain INT8 cannot be lowered.
        EngineError: The engine fails on plain INT8.
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
        weights_key=weights_key,
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
