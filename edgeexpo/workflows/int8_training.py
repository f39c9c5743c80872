"""Training of a network's INT8 weights, with the float network as the teacher (QAT)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.fx import GraphModule

from edgeexpo.bundle.files import digest
from edgeexpo.errors import ExportError, TrainingError, UsageError
from edgeexpo.imaging.samples import unseen
from edgeexpo.program.capture import Program
from edgeexpo.program.stages import stage
from edgeexpo.progress import note
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.headroom import widen
from edgeexpo.quantization.ptq import tensors
from edgeexpo.quantization.simulation import PerPicture, roundings
from edgeexpo.quantization.straight_through import pass_gradients
from edgeexpo.quantization.variants import RANGES, Calibration, Variant, parse_variant
from edgeexpo.training.objectives import OBJECTIVES, Objective
from edgeexpo.training.own_network import own_objective, own_recipe, training_size
from edgeexpo.training.recipes import TrainingRecipe, recipe
from edgeexpo.training.run import Settings, imitate, training_device
from edgeexpo.workflows.calibration_pictures import calibration_inputs, picture_size
from edgeexpo.workflows.calibration_search import (
    Comparison,
    PictureJudge,
    VariantScore,
    compare,
    told,
)
from edgeexpo.workflows.networks import Network

QAT_STEPS = 400
"""Number of QAT steps by default."""

QAT_RATE = 2e-5
"""Learning rate of QAT by default."""

TRAINED = "trained"
"""Name of the trained program beside the variant that it started from."""


def train_int8(
    network: Network,
    source: Path | None,
    chosen: Variant | None,
    start: Path | None,
    settings: Settings,
    changes: Mapping[str, Any],
) -> tuple[dict[str, Any], Comparison]:
    """Train INT8 weights from a variant of calibration, or from INT8 weights.

    Args:
        network: The float network.
        source: Folder of photographs or brackets to calibrate on. ``None`` for the embedded ones.
        chosen: Variant of calibration to start from. ``None`` stands for ``plain`` for a network of
            the zoo, and for the best choice of ranges for any other.
        start: INT8 weights to start from instead.
        settings: Files, device and intervals of the run.
        changes: Fields of the recipe to replace.

    Returns:
        The facts about the training, and the comparison of the trained program with the one that it
        started from, on photographs that were not trained on.

    Raises:
        UsageError: The data, crops or numbers cannot be used, or the checkpoint belongs to another
            training.
        ExportError: The network has no operator that can run in INT8.
        TrainingError: The loss is not finite, or the network cannot be trained.
    """
    program = network.capture()
    pictures = calibration_inputs(network, program, source)
    others = tensors(program, pictures)
    plan, objective = _plan(network, program, changes, others)
    shown = unseen(len(network.spec.frames), picture_size(network, program))
    judge = PictureJudge(network, program, shown)
    if start is None and chosen is None and network.preset is None:
        found = compare(Calibration(program, pictures), judge, [v.name for v in RANGES])
        graph, before, chosen = found.graph, found.best, parse_variant(found.best.variant)
    else:
        chosen = chosen or Variant()
        graph = _started(program, pictures, others, chosen, start)
        name = chosen.name if start is None else start.name
        before = VariantScore(name, judge(graph), 0.0)
        note(told(before))
    if not any(rounding.is_weight for rounding in roundings(graph).values()):
        raise ExportError(f"{network.spec.name} has no operator that can run in INT8")
    pass_gradients(graph)
    doing = "training under the rounding of INT8"
    advice = "calibrate alone with `method='ptq'`"
    if training_device(settings.device).type != "cpu":
        advice = f"train with `device='cpu'`, or {advice}"
    began = time.monotonic()
    with stage(doing, advice, graph, kind=TrainingError):
        training = imitate(
            network.module,
            PerPicture(graph),
            plan,
            settings,
            others,
            exact=True,
            own=objective,
            origin=_origin(network, before.variant, start, settings),
        )
    network.module.cpu()
    trained = cast(PerPicture, training.mean).graph.cpu()
    after = VariantScore(TRAINED, judge(trained), time.monotonic() - began)
    note(told(after))
    facts = {
        "variant": chosen.name,
        "started_from": None if start is None else digest(start),
        "steps": training.step,
        "validation_loss": training.validated[-1][1],
    }
    return facts, Comparison((before, after), after, trained, judge.pictures)


def qat_recipe(preset: str) -> TrainingRecipe:
    """Return the recipe of a preset's own training, shortened.

    A quantised network only has to adapt, so it needs fewer steps.

    Raises:
        UsageError: No recipe has this name.
    """
    own = recipe(preset)
    return dataclasses.replace(own, steps=QAT_STEPS, learning_rate=QAT_RATE, weight_decay=0.0)


def _plan(
    network: Network,
    program: Program,
    changes: Mapping[str, Any],
    others: list[tuple[Tensor, ...]],
) -> tuple[TrainingRecipe, Objective]:
    """Return the recipe and the objective of the training."""
    for name in ("steps", "batch", "crop", "scenes"):
        if name in changes and changes[name] < 1:
            raise UsageError(f"`{name}` is {changes[name]}; expected 1 or more")
    if network.preset is not None:
        plan = dataclasses.replace(qat_recipe(network.preset), **changes)
        return plan, OBJECTIVES[plan.objective]
    height, width = others[0][0].shape[-2:]
    kept = {name: value for name, value in changes.items() if name != "crop"}
    size = training_size(network.spec, program.sizes, (height, width), changes.get("crop"))
    plan = own_recipe(network.spec, size, QAT_STEPS, QAT_RATE)
    return dataclasses.replace(plan, **kept), own_objective(network.spec, size)


def _started(
    program: Program,
    pictures: list[Any],
    others: list[tuple[Tensor, ...]],
    chosen: Variant,
    start: Path | None,
) -> GraphModule:
    """Return the simulated program that training starts from."""
    if start is None:
        return Calibration(program, pictures).make(chosen)
    graph = int8_weights.simulated_by(program, int8_weights.read_int8_weights(start))
    if chosen.headroom:
        widen(graph, others)
    return graph


def _origin(network: Network, start: str, file: Path | None, settings: Settings) -> dict[str, str]:
    """Return what a checkpoint must share with this training, so that it can be continued."""
    data = "the embedded photographs" if settings.data is None else str(settings.data.resolve())
    ranges = start if file is None else f"{start} {digest(file)[:12]}"
    return {"float weights": network.weights_sha256[:12], "start": ranges, "data": data}
