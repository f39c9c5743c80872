"""Pruned weights of a network of the zoo, trained to show what the whole one shows."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeexpo.calibration import network_inputs
from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import samples
from edgeexpo.models import foreign, zoo
from edgeexpo.models.widths import PRUNED, read_metadata, save_pruned
from edgeexpo.networks import Network, loaded, open_network
from edgeexpo.progress import note, status
from edgeexpo.quantization.importance import Importance, Losses
from edgeexpo.quantization.pruning import Pruned, prune
from edgeexpo.quantization.reconstruction import Inputs, reconstruct
from edgeexpo.quantization.schedule import Scope
from edgeexpo.quantization.sparsity import Sparse, sparsify
from edgeexpo.spec import ModelSpec
from edgeexpo.training import loop
from edgeexpo.training.objectives import OBJECTIVES
from edgeexpo.training.recipes import Recipe, recipe
from edgeexpo.training.run import Settings, imitate, scenes
from edgeexpo.writing import check_file, write_file

STEPS = 1000
RATE = 3e-4
BATCHES = 8
"""Batches that Taylor importance is taken from, and on which layers are reconstructed besides."""

SIDE = 64
MIXED_SIDE = 256
"""Where one input has a size of its own, costs are compared at a size like its."""

EXPOSURES = (1, 2, 3)
"""Seeds of the photographs' exposures on which layers are reconstructed."""

PIXELS = 1 << 21
"""Of all those photographs together, unless :data:`FEWEST` have more: layers' inputs and results
are held in memory."""

FEWEST = 4

NEAR = 0.1
"""A shipped pruned checkpoint stands for ratios up to this much below its own."""


@dataclasses.dataclass(frozen=True)
class PrunedWeights:
    """What :func:`pruned` made: the file, the pruning, and how it was trained afterwards.

    ``steps`` is 0 and ``validation_loss`` ``None`` for weights that were not trained.
    """

    path: Path
    result: Pruned
    steps: int
    validation_loss: float | None


def pruned(
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


def sparse(
    model: str, output: Path, *, ratio: float, weights: Path | None = None, force: bool = False
) -> Sparse:
    """Weights of a network of the zoo, the smallest of which are zero; nothing gets faster.

    Args: as for :func:`pruned`; ``ratio`` is the share of the weights.

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


def open_pruned(
    model: str,
    ratio: float,
    size: tuple[int, int] | None,
    weights: str | os.PathLike[str] | None,
    inputs: Sequence[str],
) -> Network:
    """The network that a user means, pruned: with weights that ship, and INT8 weights made of
    them, where they do; a note says which, or that nothing was trained.

    Args: ``ratio`` as for :func:`pruned`, the others as for
    :func:`edgeexpo.networks.open_network`.

    Raises:
        UsageError: Bad arguments, weights or module, or a ratio that cannot be reached.
    """
    if weights is None and not foreign.is_foreign(model):
        shipped = shipped_pruned(zoo.get(model).name, ratio)
        if shipped is not None:
            int8 = shipped.with_name(shipped.stem + zoo.INT8_SUFFIX)
            made = int8 if int8.is_file() else None
            note(f"pruned weights that ship: {shipped.name}")
            return open_network(model, size, shipped, inputs, made)
    network = open_network(model, size, weights, inputs)
    result = narrower(network.module, network.spec, ratio)
    note(
        f"pruned {result.ratio:.1%} of the multiply-accumulates without training after that; "
        "edgeexpo prune --data DIR trains, and export takes what it writes with --weights"
    )
    return dataclasses.replace(network, module=result.module, int8=None)


def narrower(
    module: nn.Module,
    spec: ModelSpec,
    ratio: float,
    *,
    importance: Importance = "magnitude",
    scope: Scope = "sensitivity",
    gradients: Losses | None = None,
    pictures: Sequence[Inputs] = (),
) -> Pruned:
    """A pruned network whose layers give what the whole one's gave, not yet trained.

    Sensitivity is measured on the embedded photographs, and weights are reconstructed
    (:mod:`edgeexpo.quantization.reconstruction`) on them and on ``pictures``, inputs of the
    network, NxCxHxW each.

    Args: the others as for :func:`edgeexpo.quantization.pruning.prune`.

    Raises:
        UsageError: A ratio out of range, out of reach, or that would empty a layer; no gradients.
        ModuleError: ``forward`` fails or cannot be followed.
    """
    with status("Pruning"):
        result = prune(
            module,
            examples(spec),
            ratio=ratio,
            importance=importance,
            scope=scope,
            gradients=gradients,
            pictures=photographs(spec),
        )
    with status("Reconstructing layers"):
        take_over(result, module, spec, pictures)
    return result


def take_over(
    result: Pruned, whole: nn.Module, spec: ModelSpec, more: Sequence[Inputs] = ()
) -> None:
    """Reconstruct the layers of a pruned network, in place, on the embedded photographs and more.

    Args:
        result: The pruned network.
        whole: The one that it was made from.
        spec: Of both.
        more: Inputs, NxCxHxW each.
    """
    seen = [picture for seed in EXPOSURES for picture in photographs(spec, seed=seed)]
    pixels = max(tensor.shape[-2] * tensor.shape[-1] for tensor in seen[0])
    seen = seen[:: max(1, -(-len(seen) // max(FEWEST, PIXELS // pixels)))]
    reconstruct(result.module, whole, result.kept, [*seen, *more])


def shipped_pruned(preset: str, ratio: float) -> Path | None:
    """The checkpoint that ships for a ratio, if one does."""
    path = zoo.WEIGHTS / f"{preset}.pruned.safetensors"
    if not path.is_file():
        return None
    found = float(read_metadata(path)[PRUNED])
    return path if ratio <= found <= ratio + NEAR else None


def examples(spec: ModelSpec) -> tuple[Tensor, ...]:
    """Inputs at whose size costs are counted: zeros, 1xCxHxW each."""
    sizes = {tensor.size for tensor in spec.inputs}
    mixed = None in sizes and len(sizes) > 1
    size = (MIXED_SIDE, MIXED_SIDE) if mixed else _size(spec)
    return tuple(torch.zeros(1, tensor.channels, *(tensor.size or size)) for tensor in spec.inputs)


def photographs(
    spec: ModelSpec, size: tuple[int, int] | None = None, seed: int = 1
) -> list[tuple[Tensor, ...]]:
    """The embedded photographs as the network's inputs, 1xCxHxW each.

    Args:
        spec: The network.
        size: Height and width; by default those at which pruning looks at them.
        seed: Of the frames' exposures.
    """
    made = network_inputs(spec, samples(len(spec.frames), None, size or _size(spec), seed=seed))
    return [
        tuple(torch.from_numpy(named[t.name].transpose(2, 0, 1)[None].copy()) for t in spec.inputs)
        for named in made
    ]


def _size(spec: ModelSpec) -> tuple[int, int]:
    """Height and width of pictures that pruning looks at."""
    side = max(SIDE, spec.multiple)
    return spec.fixed_size or (side, side)


def pruning_recipe(preset: str) -> Recipe:
    """The recipe of a preset's own training, shortened: the network has only to recover."""
    return dataclasses.replace(recipe(preset), steps=STEPS, learning_rate=RATE, weight_decay=0.0)


def _batches(plan: Recipe, settings: Settings) -> list[tuple[Inputs, Tensor]]:
    """Inputs and truth of some batches of what the network will be trained on."""
    store, objective = scenes(plan, settings), OBJECTIVES[plan.objective]
    drawn = (loop.batch_at(step, store, plan, objective) for step in range(BATCHES))
    return [(objective.inputs(batch), objective.truth(batch)) for batch in drawn]
