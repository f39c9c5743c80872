"""A training run of a recipe on the user's data: scenes, helpers, initial weights and loop."""

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
from edgeexpo.training.objectives import OBJECTIVES, Helpers, Objective, imitation
from edgeexpo.training.perceptual import Perceptual
from edgeexpo.training.recipes import TrainingRecipe
from edgeexpo.training.scenes import SHOTS, Sources, embedded_sources, read_sources
from edgeexpo.training.store import Store, make
from edgeexpo.training.widening import widened


@dataclass(frozen=True)
class Settings:
    """The files, the device and the intervals of a run.

    Attributes:
        data: Folder of radiance maps and photographs. ``None`` for the embedded photographs.
        output: Folder of the run's results.
        scenes: Folder of made scenes, which runs can share. By default ``output/scenes``.
        start: File of initial weights, instead of the shipped weights of ``recipe.start``.
        teacher: File of the teacher's weights, instead of the shipped weights.
        vgg: File of the VGG19 state dict for perceptual terms.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or another device of torch.
        threads: Number of CPU threads, or ``None`` for torch's choice.
        save_seconds: Time between two checkpoints, in seconds.
    """

    data: Path | None
    output: Path
    scenes: Path | None = None
    start: Path | None = None
    teacher: Path | None = None
    vgg: Path | None = None
    device: str = "auto"
    threads: int | None = None
    save_seconds: float = loop.SAVE_SECONDS


def run(recipe: TrainingRecipe, settings: Settings) -> loop.Training:
    """Train ``recipe`` to its end, from the checkpoint in ``settings.output`` if there is one.

    Raises:
        UsageError: Data or weights are unusable, or the checkpoint belongs to another preset.
        WeightsError: A file of weights cannot be read or does not fit.
        TrainingError: The loss is not finite.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = training_device(settings.device)
    training = loop.begin(recipe, _start(recipe, settings), device)
    loop.resume(training, settings.output)
    helpers = _helpers(recipe, settings, device)
    store = training_scenes(recipe, settings, OBJECTIVES[recipe.objective].scenes)
    return loop.train(training, store, settings.output, helpers, settings.save_seconds)


def imitate(
    teacher: nn.Module,
    student: nn.Module,
    recipe: TrainingRecipe,
    settings: Settings,
    others: Sequence[tuple[Tensor, ...]] = (),
    *,
    exact: bool = False,
    own: Objective | None = None,
    origin: Mapping[str, str] | None = None,
) -> loop.Training:
    """Train a compressed network to give the pictures that ``teacher`` gives.

    Training continues from the checkpoint in ``settings.output`` if there is one.

    Args:
        teacher: Network before compression.
        student: Compressed network, not yet trained, with the same input and output tensors.
        recipe: Recipe of the training, whose objective is the system's.
        settings: Files, device and intervals of the run.
        others, exact: As for :func:`edgeexpo.training.objectives.imitation`.
        own: Objective of the system. By default, the recipe's.
        origin: What the training starts from, in words by name. A checkpoint of another origin is
            refused.

    Raises:
        UsageError: The data are unusable, crops do not fit the scenes, or the checkpoint belongs to
            another training.
        TrainingError: The loss is not finite, or no weight has an effect on it.
    """
    if recipe.crop > recipe.scene_size:
        raise UsageError(
            f"crops of {recipe.crop} do not fit scenes of {recipe.scene_size}; lower `crop`"
        )
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = training_device(settings.device)
    student = student.to(device)
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    own = own or OBJECTIVES[recipe.objective]
    objective = imitation(own, teacher.to(device).eval(), others, exact=exact)
    training = loop.training_of(student, recipe, objective, device)
    training.origin = origin or {}
    loop.resume(training, settings.output)
    store = training_scenes(recipe, settings, own.scenes)
    return loop.train(training, store, settings.output, Helpers(), settings.save_seconds)


def training_scenes(recipe: TrainingRecipe, settings: Settings, kind: str) -> Store:
    """Return the store of the recipe's scenes, making those that are missing.

    Args:
        recipe: Number, size and seed of the scenes.
        settings: Folders of the data and of the scenes.
        kind: Kind of the scenes, as for :func:`edgeexpo.training.scenes.maker`.

    Raises:
        UsageError: The data folder is unusable, or the store holds other scenes.
        MissingDependencyError: The embedded photographs are not installed.
    """
    parent = settings.scenes or settings.output / "scenes"
    name = f"{kind}-{recipe.scene_size}-{recipe.scenes}-{recipe.seed}"
    return make(
        _sources(settings.data, kind),
        kind,
        parent / name,
        count=recipe.scenes,
        size=recipe.scene_size,
        seed=recipe.seed,
    )


def _sources(data: Path | None, kind: str) -> Sources:
    """Return the sources of scenes. Scenes without a truth can be made of every photograph."""
    if data is None:
        return embedded_sources()
    return read_sources(data, held_out=None if kind.startswith(SHOTS) else False)


def training_device(name: str) -> torch.device:
    """Return the named device. ``auto`` is the accelerator if there is one, else the CPU.

    Raises:
        UsageError: The named device is unavailable.
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
