"""A recipe on the user's data: scenes, helpers, start, loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.models import zoo
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.training import loop
from edgeexpo.training.objectives import OBJECTIVES, Helpers, imitation
from edgeexpo.training.perceptual import Perceptual
from edgeexpo.training.recipes import TrainingRecipe
from edgeexpo.training.scenes import read_sources
from edgeexpo.training.store import Store, make
from edgeexpo.training.widening import widened


@dataclass(frozen=True)
class Settings:
    """Where a run reads and writes.

    Attributes:
        data: Folder of radiance maps and photographs.
        output: The run's folder.
        scenes: Folder of made scenes, shared by runs; ``output/scenes`` by default.
        start: Weights to start from instead of the shipped ones of ``recipe.start``.
        teacher: Weights of the teacher instead of the shipped ones.
        vgg: VGG19 state dict for perceptual terms.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``...
        threads: CPU threads; ``None`` leaves torch's choice.
        save_seconds: Time between two checkpoints.
    """

    data: Path
    output: Path
    scenes: Path | None = None
    start: Path | None = None
    teacher: Path | None = None
    vgg: Path | None = None
    device: str = "auto"
    threads: int | None = None
    save_seconds: float = loop.SAVE_SECONDS


def run(recipe: TrainingRecipe, settings: Settings) -> loop.Training:
    """Train ``recipe`` to its end, going on from where ``settings.output`` stands.

    Raises:
        UsageError: Bad data, weights or a checkpoint of another preset.
        TrainingError: The loss is not finite.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = training_device(settings.device)
    training = loop.begin(recipe, _start(recipe, settings), device)
    loop.resume(training, settings.output)
    helpers = _helpers(recipe, settings, device)
    store = training_scenes(recipe, settings)
    return loop.train(training, store, settings.output, helpers, settings.save_seconds)


def imitate(
    teacher: nn.Module,
    student: nn.Module,
    recipe: TrainingRecipe,
    settings: Settings,
    others: Sequence[tuple[Tensor, ...]] = (),
    *,
    exact: bool = False,
) -> loop.Training:
    """Train a compressed network to show what ``teacher`` shows.

    Goes on from where ``settings.output`` stands.

    Args:
        teacher: The network before compression.
        student: The compressed one, not yet trained; takes and gives the same tensors.
        recipe: The training; its objective is the system's.
        settings: Where it reads and writes.
        others, exact: As for :func:`edgeexpo.training.objectives.imitation`.

    Raises:
        UsageError: Bad data, or a checkpoint of another preset.
        TrainingError: The loss is not finite.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = training_device(settings.device)
    student = student.requires_grad_(True).to(device)
    own = OBJECTIVES[recipe.objective]
    objective = imitation(own, teacher.to(device).eval(), others, exact=exact)
    training = loop.training_of(student, recipe, objective, device)
    loop.resume(training, settings.output)
    store = training_scenes(recipe, settings)
    return loop.train(training, store, settings.output, Helpers(), settings.save_seconds)


def training_scenes(recipe: TrainingRecipe, settings: Settings) -> Store:
    """The recipe's scenes, made or completed."""
    kind = OBJECTIVES[recipe.objective].scenes
    parent = settings.scenes or settings.output / "scenes"
    name = f"{kind}-{recipe.scene_size}-{recipe.scenes}-{recipe.seed}"
    return make(
        read_sources(settings.data),
        kind,
        parent / name,
        count=recipe.scenes,
        size=recipe.scene_size,
        seed=recipe.seed,
    )


def training_device(name: str) -> torch.device:
    """``auto`` is the accelerator when there is one, else the CPU.

    Raises:
        UsageError: The device named is not there.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"no device {name!r} here; expected auto or cpu") from error
    return device


def _start(recipe: TrainingRecipe, settings: Settings) -> Mapping[str, Tensor]:
    if recipe.start is None and settings.start is None:
        return {}
    state = _state(recipe.start, settings.start, "start")
    return widened(recipe.preset, state)


def _helpers(recipe: TrainingRecipe, settings: Settings, device: torch.device) -> Helpers:
    perceptual = None if settings.vgg is None else Perceptual(settings.vgg).to(device)
    if recipe.teacher is None:
        return Helpers(None, perceptual)
    teacher = zoo.get(recipe.teacher).build()
    load_weights(teacher, _state(recipe.teacher, settings.teacher, "teacher"), recipe.teacher)
    frozen = teacher.to(device).eval().requires_grad_(False)
    return Helpers(frozen, perceptual, recipe.low_level)


def _state(preset: str | None, given: Path | None, option: str) -> Mapping[str, Tensor]:
    if given is not None:
        return read_weights(given)
    weights = zoo.get(preset or "").weights
    if weights is None:
        raise UsageError(
            f"{preset} has no shipped weights; train it first and give `{option}` FILE"
        )
    return read_weights(weights)
