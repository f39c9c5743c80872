"""Pruning of a network, and training of the result to give the pictures of the whole network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.models.foreign import Inputs
from edgeexpo.models.names import is_foreign
from edgeexpo.models.pruned_weights import save_pruned
from edgeexpo.progress import status
from edgeexpo.pruning.importance import Importance
from edgeexpo.pruning.prune import Pruned
from edgeexpo.pruning.reconstruction import NetworkInputs
from edgeexpo.pruning.schedule import Scope
from edgeexpo.pruning.sparsity import Sparse, sparsify
from edgeexpo.short_repr import short_repr
from edgeexpo.spec import ModelSpec
from edgeexpo.training import loop
from edgeexpo.training.objectives import OBJECTIVES
from edgeexpo.training.recipes import TrainingRecipe, recipe
from edgeexpo.training.run import Settings, imitate, training_scenes
from edgeexpo.workflows.arguments import AnyPath, optional_path
from edgeexpo.workflows.imitation import given, imitation_settings
from edgeexpo.workflows.networks import loaded, open_network
from edgeexpo.workflows.pruned_networks import examples, narrower
from edgeexpo.writing import check_file, write_file

RECOVERY_STEPS = 1000
"""Number of training steps after pruning."""

RECOVERY_RATE = 3e-4
"""Learning rate of the training after pruning."""

TAYLOR_BATCHES = 8
"""Number of batches for Taylor importance. Layers are reconstructed on these batches too."""


@dataclasses.dataclass(frozen=True)
class PrunedWeights:
    """The result of :func:`prune`.

    Attributes:
        model: Name of the network.
        module: The narrower network in eval mode. It is trained if :attr:`steps` is above 0.
        path: File of the weights. ``None`` if no file was requested.
        result: The result of the pruning itself.
        steps: Number of training steps after the pruning. 0 for weights that were not trained.
        validation_loss: Loss on validation scenes at the end of the training. ``None`` without a
            training.
    """

    model: str
    module: nn.Module
    path: Path | None
    result: Pruned
    steps: int
    validation_loss: float | None

    def __repr__(self) -> str:
        made = self.result
        after = f"trained {self.steps} steps" if self.steps else "not trained after pruning"
        return short_repr(
            f"PrunedWeights of {self.model}: {self.path or 'in memory'}",
            [
                f"{made.ratio:.1%} of the multiply-accumulates removed, {after}",
                f"{made.parameters_before} parameters became {made.parameters_after}",
                *(f"{name}: {old} channels, now {new}" for name, (old, new) in made.widths.items()),
            ],
        )


def prune(
    model: str | nn.Module,
    output: AnyPath | None = None,
    *,
    ratio: float = 0.5,
    inputs: Inputs = (),
    importance: Importance = "magnitude",
    scope: Scope = "sensitivity",
    weights: AnyPath | None = None,
    data: AnyPath | None = None,
    run: AnyPath | None = None,
    scenes_dir: AnyPath | None = None,
    device: str = "auto",
    threads: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    crop: int | None = None,
    scenes: int | None = None,
    scene_size: int | None = None,
    force: bool = False,
) -> PrunedWeights:
    """Remove channels of a network, and train the narrower network if it is of the zoo.

    With ``data``, layers are reconstructed on its pictures too. Then the network is trained on
    them, by the system's own error and the unpruned network's output
    (:func:`edgeexpo.training.objectives.imitation`).

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, ``net.pt2`` of
            ``torch.export.save``, or a module in memory. The module stays unchanged.
        output: ``.safetensors`` file to write. By default, nothing is written.
        ratio: Share of the multiply-accumulates to remove, above 0 and below 1.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        importance: ``"magnitude"``, or ``"taylor"``, which needs ``data``.
        scope: ``"uniform"``, ``"global"`` or ``"sensitivity"``. The sensitivity is measured on the
            embedded photographs.
        weights: Weights to prune. By default, the shipped weights or the module's own.
        data: Folder of radiance maps and photographs to train a network of the zoo on.
        run: Folder of the training, which can be resumed. By default, ``runs/NAME.pruned``.
        scenes_dir: Folder of made scenes, shared by runs. By default, in the training's folder.
        device: Device of the training: ``"auto"``, ``"cpu"``, ``"cuda"`` or another one of torch.
        threads: Number of CPU threads of the training. By default, torch's choice.
        steps: Number of steps, instead of the recipe's. 0 reconstructs layers and trains nothing.
        batch: Number of scenes in a batch, instead of the recipe's.
        crop: Side of the crops in pixels, instead of the recipe's.
        scenes: Number of scenes, instead of the recipe's.
        scene_size: Side of the scenes in pixels, instead of the recipe's.
        force: Replace an existing file.

    Returns:
        The narrower network, its weights' file and the facts about the pruning.

    Raises:
        UsageError: The model is unknown, or the module, weights, data or ratio cannot be used.
        WeightsError: A file of weights does not fit.
        ModuleError: ``forward`` fails or cannot be followed.
        TrainingError: The loss is not finite.
        OutputError: The file cannot be written.

    Example:
        >>> made = edgeexpo.prune(network, inputs={"input": (1, 3, 64, 64)}, ratio=0.4)
        >>> network[0].out_channels, made.module[0].out_channels
        (16, 8)
    """
    path = optional_path(output)
    if path is not None and path.suffix != ".safetensors":
        raise UsageError(f"{path} must be a .safetensors file: only they say what was pruned")
    if path is not None:
        check_file(path, force)
    name, network, spec = _to_prune(model, weights, inputs)
    changes = given(steps=steps, batch=batch, crop=crop, scenes=scenes, scene_size=scene_size)
    settings = None
    if data is not None:
        if isinstance(model, nn.Module) or is_foreign(model):
            raise UsageError(
                "only networks of the zoo have a recipe to train by; leave `data` out, and train "
                "the module by your own loop"
            )
        settings = imitation_settings(data, run, f"{name}.pruned", scenes_dir, device, threads)
    plan = dataclasses.replace(pruning_recipe(name), **changes) if settings else None
    if plan is not None and plan.crop > plan.scene_size:
        raise UsageError(
            f"crops of {plan.crop} do not fit scenes of {plan.scene_size}; lower `crop`"
        )
    if importance == "taylor" and plan is None:
        raise UsageError("Taylor importance needs pictures to learn from; give `data` DIR")

    batches = [] if plan is None or settings is None else _batches(plan, settings)

    def losses(module: nn.Module) -> Iterator[Tensor]:
        assert plan is not None
        for pictures, truth in batches:
            yield OBJECTIVES[plan.objective].error(module(*pictures), truth)

    result = narrower(
        network,
        spec,
        ratio,
        importance=importance,
        scope=scope,
        gradients=losses if importance == "taylor" else None,
        pictures=[pictures for pictures, _ in batches],
    )
    trained, done, loss = result.module, 0, None
    if plan is not None and settings is not None and plan.steps:
        training = imitate(network, copy.deepcopy(result.module), plan, settings)
        trained, done = training.mean, training.step
        loss = training.validated[-1][1]
    trained = trained.cpu()
    if path is not None:
        save_pruned(trained, path, name, result.ratio)
    return PrunedWeights(name, trained, path, result, done, loss)


def _to_prune(
    model: str | nn.Module, weights: AnyPath | None, inputs: Inputs
) -> tuple[str, nn.Module, ModelSpec]:
    """Return the name, the module and the spec of the network to prune.

    A module of the zoo has the form in which it is trained.
    """
    if isinstance(model, str) and not is_foreign(model):
        if inputs:
            raise UsageError(f"`inputs` is for foreign modules; {model} is of the zoo")
        entry, module, _ = loaded(model, optional_path(weights))
        return entry.name, module.eval(), entry.spec
    network = open_network(model, None, weights, inputs)
    return network.spec.name, network.module, network.spec


def sparsify_weights(
    model: str | nn.Module,
    output: AnyPath,
    *,
    ratio: float,
    inputs: Inputs = (),
    weights: AnyPath | None = None,
    force: bool = False,
) -> Sparse:
    """Set the smallest weights of a network to zero and write the result.

    The network does not become faster.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, ``net.pt2`` of
            ``torch.export.save``, or a module in memory. The module stays unchanged.
        output: ``.safetensors`` file to write.
        ratio: Share of the weights to set to zero.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        weights: Weights to change. By default, the shipped weights or the module's own.
        force: Replace an existing file.

    Raises:
        UsageError: The model is unknown, or the weights or the ratio cannot be used.
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    check_file(Path(output), force)
    _, network, spec = _to_prune(model, weights, inputs)
    with status("Pruning"):
        made = sparsify(network, examples(spec), ratio)
    write_file(Path(output), save(made.module.state_dict()))
    return made


def pruning_recipe(preset: str) -> TrainingRecipe:
    """Return the recipe of a preset's own training, shortened.

    A pruned network only has to recover, so it needs fewer steps.

    Raises:
        UsageError: No recipe has this name.
    """
    return dataclasses.replace(
        recipe(preset), steps=RECOVERY_STEPS, learning_rate=RECOVERY_RATE, weight_decay=0.0
    )


def _batches(plan: TrainingRecipe, settings: Settings) -> list[tuple[NetworkInputs, Tensor]]:
    """Return the inputs and the truth of the first batches that the network will be trained on.

    All tensors are NxCxHxW.
    """
    objective = OBJECTIVES[plan.objective]
    store = training_scenes(plan, settings, objective.scenes)
    drawn = (loop.batch_at(step, store, plan, objective) for step in range(TAYLOR_BATCHES))
    return [(objective.inputs(batch), objective.truth(batch)) for batch in drawn]
