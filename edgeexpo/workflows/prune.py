"""Pruned weights of a network of the zoo, trained to show what the whole one shows."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.models.pruned_weights import save_pruned
from edgeexpo.progress import status
from edgeexpo.pruning.importance import Importance
from edgeexpo.pruning.prune import Pruned
from edgeexpo.pruning.reconstruction import NetworkInputs
from edgeexpo.pruning.schedule import Scope
from edgeexpo.pruning.sparsity import Sparse, sparsify
from edgeexpo.training import loop
from edgeexpo.training.objectives import OBJECTIVES
from edgeexpo.training.recipes import TrainingRecipe, recipe
from edgeexpo.training.run import Settings, imitate, training_scenes
from edgeexpo.workflows.networks import loaded
from edgeexpo.workflows.pruned_networks import examples, narrower
from edgeexpo.writing import check_file, write_file

RECOVERY_STEPS = 1000
RECOVERY_RATE = 3e-4
TAYLOR_BATCHES = 8
"""Batches that Taylor importance is taken from, and on which layers are reconstructed besides."""


@dataclasses.dataclass(frozen=True)
class PrunedWeights:
    """What :func:`prune` made: the file, the pruning, and how it was trained afterwards.

    ``steps`` is 0 and ``validation_loss`` ``None`` for weights that were not trained.
    """

    path: Path
    result: Pruned
    steps: int
    validation_loss: float | None


def prune(
    model: str,
    output: Path,
    *,
    ratio: float,
    importance: Importance = "magnitude",
    scope: Scope = "sensitivity",
    settings: Settings | None = None,
    weights: Path | None = None,
    changes: dict[str, Any] | None = None,
    force: bool = False,
) -> PrunedWeights:
    """Pruned weights of a network of the zoo.

    With ``settings`` layers are reconstructed on its pictures too, and then trained on them, by the
    system's own error and the unpruned network's output
    (:func:`edgeexpo.training.objectives.imitation`).

    Args:
        model: A name of the zoo.
        output: ``.safetensors`` file to write.
        ratio: Share of the multiply-accumulates to remove.
        importance: ``"magnitude"``, or ``"taylor"``, which needs ``settings``.
        scope: ``"uniform"``, ``"global"`` or ``"sensitivity"``, which is measured on the embedded
            photographs.
        settings: Data and folders of the training.
        weights: Weights to prune; the shipped ones by default.
        changes: Fields of the recipe to replace, such as ``{"steps": 100}``; 0 steps: reconstruct
            alone.
        force: Replace an existing file.

    Raises:
        UsageError: Unknown model, bad weights, data or ratio.
        TrainingError: The loss is not finite.
        OutputError: The file cannot be written.
    """
    if output.suffix != ".safetensors":
        raise UsageError(f"{output} must be a .safetensors file: only they say what was pruned")
    check_file(output, force)
    entry, network, _ = loaded(model, weights)
    preset = entry.name
    plan = dataclasses.replace(pruning_recipe(preset), **(changes or {})) if settings else None
    if plan is not None and plan.crop > plan.scene_size:
        raise UsageError(
            f"crops of {plan.crop} do not fit scenes of {plan.scene_size}; lower --crop"
        )
    if importance == "taylor" and plan is None:
        raise UsageError("Taylor importance needs pictures to learn from; give --data DIR")

    batches = [] if plan is None or settings is None else _batches(plan, settings)

    def losses(module: nn.Module) -> Iterator[Tensor]:
        assert plan is not None
        for inputs, truth in batches:
            yield OBJECTIVES[plan.objective].error(module(*inputs), truth)

    result = narrower(
        network.eval(),
        entry.spec,
        ratio,
        importance=importance,
        scope=scope,
        gradients=losses if importance == "taylor" else None,
        pictures=[inputs for inputs, _ in batches],
    )
    trained, steps, loss = result.module, 0, None
    if plan is not None and settings is not None and plan.steps:
        training = imitate(network, copy.deepcopy(result.module), plan, settings)
        trained, steps = training.mean, training.step
        loss = training.validated[-1][1]
    save_pruned(trained.cpu(), output, preset, result.ratio)
    return PrunedWeights(output, result, steps, loss)


def sparsify_weights(
    model: str, output: Path, *, ratio: float, weights: Path | None = None, force: bool = False
) -> Sparse:
    """Weights of a network of the zoo, the smallest of which are zero; nothing gets faster.

    Args: as for :func:`prune`; ``ratio`` is the share of the weights.

    Raises:
        UsageError: Unknown model, bad weights or ratio.
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    check_file(output, force)
    entry, network, _ = loaded(model, weights)
    with status("Pruning"):
        made = sparsify(network.eval(), examples(entry.spec), ratio)
    write_file(output, save(made.module.state_dict()))
    return made


def pruning_recipe(preset: str) -> TrainingRecipe:
    """The recipe of a preset's own training, shortened: the network has only to recover."""
    return dataclasses.replace(
        recipe(preset), steps=RECOVERY_STEPS, learning_rate=RECOVERY_RATE, weight_decay=0.0
    )


def _batches(plan: TrainingRecipe, settings: Settings) -> list[tuple[NetworkInputs, Tensor]]:
    """Inputs and truth of some batches of what the network will be trained on."""
    store, objective = training_scenes(plan, settings), OBJECTIVES[plan.objective]
    drawn = (loop.batch_at(step, store, plan, objective) for step in range(TAYLOR_BATCHES))
    return [(objective.inputs(batch), objective.truth(batch)) for batch in drawn]
