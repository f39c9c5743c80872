"""Networks with fewer channels, pruned now or loaded from shipped weights, without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexpo.imaging.samples import samples
from edgeexpo.models import zoo
from edgeexpo.models.pruned_weights import PRUNED, read_metadata
from edgeexpo.progress import status
from edgeexpo.pruning.importance import Importance, Losses
from edgeexpo.pruning.prune import Pruned, prune_module
from edgeexpo.pruning.reconstruction import NetworkInputs, reconstruct
from edgeexpo.pruning.schedule import Scope
from edgeexpo.spec import ModelSpec
from edgeexpo.workflows.network_tensors import sample_tensors

PRUNING_SIDE = 64
"""Smallest side in pixels of the pictures for pruning."""

MIXED_PRUNING_SIDE = 256
"""Side in pixels at which costs are counted if only some inputs have a fixed size.

It is similar to those fixed sizes.
"""

EXPOSURE_SEEDS = (1, 2, 3)
"""Seeds of the photographs' exposures on which layers are reconstructed."""


MOST_PIXELS = 1 << 21
"""Largest number of pixels of all these photographs together.

The inputs and outputs of layers are held in memory. :data:`FEWEST_PICTURES` photographs may have
more pixels.
"""

FEWEST_PICTURES = 4
"""Number of photographs that are used even if they have more pixels than :data:`MOST_PIXELS`."""

NEAR = 0.1
"""Difference up to which a requested ratio may be below the ratio of a shipped checkpoint."""


def narrower(
    module: nn.Module,
    spec: ModelSpec,
    ratio: float,
    *,
    importance: Importance = "magnitude",
    scope: Scope = "sensitivity",
    gradients: Losses | None = None,
    pictures: Sequence[NetworkInputs] = (),
) -> Pruned:
    """Prune a network and reconstruct its layers, without training.

    Sensitivity is measured on the embedded photographs. The weights are reconstructed on these
    photographs and on ``pictures``, so that layers give the values that they gave in the whole
    network (:mod:`edgeexpo.pruning.reconstruction`).

    Args:
        module: The whole network. It is not changed.
        spec: The tensors of the network and the stages around it.
        ratio: Share of the multiply-accumulates to remove, above 0 and below 1.
        importance: ``"magnitude"``, or ``"taylor"``, which needs ``gradients``.
        scope: ``"uniform"``, ``"global"`` or ``"sensitivity"``, as for
            :func:`edgeexpo.pruning.prune.prune_module`.
        gradients: Function that takes the network and yields the loss of every calibration batch.
        pictures: More inputs of the network to reconstruct on, NxCxHxW each.

    Raises:
        UsageError: The ratio is out of range, cannot be reached or would empty a layer. Or
            ``gradients`` is missing.
        ModuleError: ``forward`` fails or cannot be followed.
        MissingDependencyError: The embedded photographs are not installed.
    """
    with status("Pruning"):
        result = prune_module(
            module,
            examples(spec),
            ratio=ratio,
            importance=importance,
            scope=scope,
            gradients=gradients,
            pictures=photograph_inputs(spec),
        )
    with status("Reconstructing layers"):
        take_over(result, module, spec, pictures)
    return result


def take_over(
    result: Pruned, whole: nn.Module, spec: ModelSpec, more: Sequence[NetworkInputs] = ()
) -> None:
    """Reconstruct the layers of a pruned network in place, on the embedded photographs and more.

    Args:
        result: The pruned network.
        whole: The whole network that it was made from.
        spec: The spec of both networks.
        more: More inputs to reconstruct on, NxCxHxW each.

    Raises:
        MissingDependencyError: The embedded photographs are not installed.
    """
    seen = [picture for seed in EXPOSURE_SEEDS for picture in photograph_inputs(spec, seed=seed)]
    pixels = max(tensor.shape[-2] * tensor.shape[-1] for tensor in seen[0])
    seen = seen[:: max(1, -(-len(seen) // max(FEWEST_PICTURES, MOST_PIXELS // pixels)))]
    reconstruct(result.module, whole, result.kept, [*seen, *more])


def shipped_pruned(preset: str, ratio: float) -> Path | None:
    """Return the pruned checkpoint that ships for a ratio, or ``None`` if none ships."""
    path = zoo.WEIGHTS / f"{preset}.pruned.safetensors"
    if not path.is_file():
        return None
    found = float(read_metadata(path)[PRUNED])
    return path if ratio <= found <= ratio + NEAR else None


def examples(spec: ModelSpec) -> tuple[Tensor, ...]:
    """Return zeros of the size at which costs are counted, 1xCxHxW float32 for each input."""
    sizes = {tensor.size for tensor in spec.inputs}
    mixed = None in sizes and len(sizes) > 1
    size = (MIXED_PRUNING_SIDE, MIXED_PRUNING_SIDE) if mixed else _size(spec)
    return tuple(torch.zeros(1, tensor.channels, *(tensor.size or size)) for tensor in spec.inputs)


def photograph_inputs(
    spec: ModelSpec, size: tuple[int, int] | None = None, seed: int = 1
) -> list[tuple[Tensor, ...]]:
    """Return the embedded photographs as the network's inputs, 1xCxHxW float32 each.

    Args:
        spec: The network.
        size: Height and width in pixels. By default, the size of pictures for pruning.
        seed: Seed of the frames' exposures.

    Returns:
        For each photograph one tensor for each input, in the input's range and encoding.

    Raises:
        MissingDependencyError: The embedded photographs are not installed.
    """
    return sample_tensors(spec, samples(len(spec.frames), None, size or _size(spec), seed=seed))


def _size(spec: ModelSpec) -> tuple[int, int]:
    """Return the height and width in pixels of the pictures for pruning."""
    side = max(PRUNING_SIDE, spec.multiple)
    return spec.fixed_size or (side, side)
