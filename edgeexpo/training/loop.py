"""The training loop, for any recipe, on CPU or GPU.

A run that is killed and resumed has the same curve as an uninterrupted run.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import operator
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexpo.errors import TrainingError, UsageError
from edgeexpo.failures import reading
from edgeexpo.models import zoo
from edgeexpo.progress import note, track
from edgeexpo.training.batches import batch, validation
from edgeexpo.training.curves import write_curves
from edgeexpo.training.objectives import OBJECTIVES, Helpers, Objective
from edgeexpo.training.recipes import TrainingRecipe
from edgeexpo.training.store import Store
from edgeexpo.writing import write_file

CHECKPOINT = "checkpoint.pt"
"""File name of a run's checkpoint."""

SAVE_SECONDS = 120.0
"""Default time between two checkpoints, in seconds."""

VALIDATE_STEPS = 200
"""Number of steps between two validations."""


@dataclass
class Training:
    """The state of a training run.

    Attributes:
        recipe: Recipe of the run.
        objective: Objective that the network minimises.
        network: Network in training.
        mean: Copy of the network with the running mean of its weights, which is the result.
        optimizer: Optimiser of the network's trainable parameters.
        device: Device of both networks.
        step: Number of steps done.
        seconds: Time spent, in seconds.
        curve: Step, loss and learning rate of every step.
        validated: Step and validation loss of the mean weights, every :data:`VALIDATE_STEPS`
            steps and at the end.
        origin: What the training started from, in words by name. A checkpoint of another origin is
            refused. Empty if the recipe alone says it.
    """

    recipe: TrainingRecipe
    objective: Objective
    network: nn.Module
    mean: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = dataclasses.field(default_factory=list)
    validated: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict)


def begin(recipe: TrainingRecipe, start: Mapping[str, Tensor], device: torch.device) -> Training:
    """Return a training at step 0 with initial weights from the recipe's seed and from ``start``.

    Args:
        recipe: Recipe of the run.
        start: Weights to start from, where name and shape agree. It may be empty.
        device: Device to train on.

    Raises:
        UsageError: The recipe's numbers do not go together, or ``start`` does not fit.
    """
    torch.manual_seed(recipe.seed)
    network = zoo.get(recipe.preset).build()
    _check(recipe, network)
    adopt(network, start)
    for name, parameter in network.named_parameters():
        frozen = recipe.frozen is not None and name.startswith(recipe.frozen)
        parameter.requires_grad_(not frozen)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return training_of(network, recipe, OBJECTIVES[recipe.objective], device)


def training_of(
    network: nn.Module, recipe: TrainingRecipe, objective: Objective, device: torch.device
) -> Training:
    """Return a training at step 0 of ``network``, which must be on ``device`` already."""
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad],
        recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    return Training(recipe, objective, network, copy.deepcopy(network).eval(), optimizer, device)


def _check(recipe: TrainingRecipe, network: nn.Module) -> None:
    if recipe.crop > recipe.scene_size:
        raise UsageError(
            f"crops of {recipe.crop} do not fit scenes of {recipe.scene_size}; lower `crop`"
        )
    if recipe.low_level and recipe.teacher is None:
        raise UsageError(f"{recipe.preset} has no teacher to follow; leave `low_level` out")
    normalised = any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    if min(recipe.batch, recipe.steps) < 1 or (normalised and recipe.batch < 2):
        raise UsageError(
            f"`batch={recipe.batch}` `steps={recipe.steps}`: expected at least one step, and two "
            "crops where a network has batch normalisation"
        )


def adopt(network: nn.Module, start: Mapping[str, Tensor]) -> None:
    """Copy into ``network`` the weights of ``start`` whose name and shape agree.

    Raises:
        UsageError: ``start`` has weights, but no weight fits.
    """
    own = network.state_dict()
    fitting = {k: v for k, v in start.items() if k in own and own[k].shape == v.shape}
    if start and not fitting:
        raise UsageError("no weight of the given start fits the network; check the start's preset")
    network.load_state_dict({**own, **fitting})


def train(
    training: Training,
    store: Store,
    folder: Path,
    helpers: Helpers,
    save_seconds: float = SAVE_SECONDS,
) -> Training:
    """Run the recipe to its end, and save into ``folder`` regularly and at the end.

    Args:
        training: Training to continue, changed in place.
        store: Scenes to train on.
        folder: Folder of the checkpoint, the weights and the curves, created when missing.
        helpers: Frozen networks that the loss needs.
        save_seconds: Time between two saves, in seconds.

    Returns:
        ``training``, with all steps done.

    Raises:
        TrainingError: The loss is not finite. The last good checkpoint stays.
    """
    recipe = training.recipe
    folder.mkdir(parents=True, exist_ok=True)
    began, saved = time.perf_counter() - training.seconds, training.seconds
    steps = range(training.step, recipe.steps)
    for step in track(steps, f"Training {recipe.preset}", total=len(steps)):
        sample = batch_at(step, store, recipe, training.objective)
        update(training, sample, helpers)
        if training.step % VALIDATE_STEPS == 0 or training.step == recipe.steps:
            validate(training, store, helpers)
        training.seconds = time.perf_counter() - began
        if training.seconds - saved >= save_seconds:
            saved = training.seconds
            save(training, folder)
    save(training, folder)
    return training


def batch_at(
    step: int, store: Store, recipe: TrainingRecipe, objective: Objective
) -> dict[str, Tensor]:
    """Return the batch of one step of a recipe, from :func:`edgeexpo.training.batches.batch`."""
    return batch(
        store,
        objective.tensors,
        step,
        count=recipe.batch,
        crop=recipe.crop,
        seed=recipe.seed,
        color=objective.permute,
    )


def update(training: Training, sample: Mapping[str, Tensor], helpers: Helpers) -> None:
    """Take one step on one batch.

    Raises:
        TrainingError: The loss is not finite, or no gradient reaches a weight. The weights stay
            unchanged.
    """
    recipe, network = training.recipe, training.network
    rate = learning_rate(recipe, training.step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    torch.manual_seed(recipe.seed * 1_000_003 + training.step)
    network.train()
    loss = _loss(training, network, sample, helpers)
    if not math.isfinite(float(loss.detach())):
        raise TrainingError(
            f"the loss of {recipe.preset} is {float(loss.detach())} at step {training.step}; "
            "the last good checkpoint is kept: resume with a lower `learning_rate`"
        )
    training.optimizer.zero_grad()
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    if training.step == 0 and float(loss.detach()) and not _has_gradient(network):
        raise TrainingError(
            f"no gradient of the loss of {recipe.preset} reaches a weight; expected a forward "
            "without rounding, comparisons or integers between the weights and the output"
        )
    nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
    training.optimizer.step()
    training.curve.append((training.step, float(loss.detach()), rate))
    training.step += 1
    _average(training)


def _has_gradient(network: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def validate(training: Training, store: Store, helpers: Helpers) -> None:
    """Record the mean weights' loss on the validation scenes."""
    objective = training.objective
    sample = validation(store, objective.tensors, training.recipe.crop)
    with torch.no_grad():
        loss = _loss(training, training.mean.eval(), sample, helpers)
    training.validated.append((training.step, float(loss)))


def learning_rate(recipe: TrainingRecipe, step: int) -> float:
    """Return the learning rate at a step: a linear warm-up, then a cosine to 1/100 of the peak."""
    done = step / recipe.steps
    if done < recipe.warm_up:
        return recipe.learning_rate * max(done / recipe.warm_up, 0.05)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def save(training: Training, folder: Path) -> None:
    """Write the checkpoint, the mean weights, the curves and a JSON record of the run."""
    from safetensors.torch import save

    state = {
        "preset": training.recipe.preset,
        "origin": dict(training.origin),
        "network": training.network.state_dict(),
        "mean": training.mean.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "step": training.step,
        "seconds": training.seconds,
        "curve": training.curve,
        "validated": training.validated,
    }
    partial = folder / "checkpoint.partial"
    torch.save(state, partial)
    partial.replace(folder / CHECKPOINT)
    weights = {k: v.contiguous().cpu() for k, v in training.mean.state_dict().items()}
    write_file(folder / f"{training.recipe.preset}.safetensors", save(weights))
    facts = {
        **dataclasses.asdict(training.recipe),
        "done": training.step,
        "seconds": round(training.seconds, 1),
        "device": str(training.device),
        "validation_loss": training.validated[-1][1] if training.validated else None,
    }
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    write_curves(folder, training.curve, training.validated)
    recent = [row[1] for row in training.curve[-100:]]
    note(
        f"{training.recipe.preset}: step {training.step} of {training.recipe.steps}, "
        f"loss {sum(recent) / max(1, len(recent)):.5f}, {training.seconds / 60:.1f} min"
    )


def resume(training: Training, folder: Path) -> None:
    """Restore ``training`` from the folder's checkpoint, if there is one.

    Raises:
        UsageError: The checkpoint belongs to another preset, its training started from something
            else, or it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return
    again = "remove it to begin again, or name another folder with `run`"
    with reading(path, UsageError, "is a damaged checkpoint of a training", again):
        _restore(training, path)


def _restore(training: Training, path: Path) -> None:
    """Set ``training`` to the state in a checkpoint. What does not fit raises anything."""
    state = torch.load(path, weights_only=True, map_location=training.device)
    if state["preset"] != training.recipe.preset:
        raise UsageError(
            f"{path} is a checkpoint of {state['preset']}, not of {training.recipe.preset}; "
            "name another folder with `output`"
        )
    found = state.get("origin", training.origin)
    for name, wanted in training.origin.items():
        if found.get(name) != wanted:
            raise UsageError(
                f"{path} is a checkpoint with other {name} ({found.get(name)}); expected {wanted}: "
                "name another folder with `run`, or remove this one"
            )
    training.network.load_state_dict(state["network"])
    training.mean.load_state_dict(state["mean"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.step, training.seconds = operator.index(state["step"]), float(state["seconds"])
    training.curve = [
        (operator.index(s), float(loss), float(rate)) for s, loss, rate in state["curve"]
    ]
    training.validated = [(operator.index(s), float(loss)) for s, loss in state["validated"]]


def _loss(
    training: Training, network: nn.Module, sample: Mapping[str, Tensor], helpers: Helpers
) -> Tensor:
    device = training.device
    moved = {
        k: v.to(device, memory_format=torch.channels_last, non_blocking=True)
        for k, v in sample.items()
    }
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return training.objective.loss(network, moved, helpers).float()


def _average(training: Training) -> None:
    keep = min(training.recipe.average, training.step / (training.step + 10))
    with torch.no_grad():
        pairs = zip(training.mean.parameters(), training.network.parameters(), strict=True)
        for mean, now in pairs:
            mean.lerp_(now, 1 - keep)
        buffers = zip(training.mean.buffers(), training.network.buffers(), strict=True)
        for kept, buffer in buffers:
            kept.copy_(buffer)
