"""Networks with fewer channels, pruned now or from pruned weights that ship; none is trained."""

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


MIXED_PRUNING_SIDE = 256
"""Where one input has a size of its own, costs are compared at a size like its."""


EXPOSURE_SEEDS = (1, 2, 3)
"""Seeds of the photographs' exposures on which layers are reconstructed."""


MOST_PIXELS = 1 << 21
"""Of all those photographs together, unless :data:`FEWEST_PICTURES` have more: layers' inputs and
results are held in memory."""


FEWEST_PICTURES = 4


NEAR = 0.1
"""A shipped pruned checkpoint stands for ratios up to this much below its own."""


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
    """A pruned network whose layers give what the whole one's gave, not yet trained.

    Sensitivity is measured on the embedded photographs, and weights are reconstructed
    (:mod:`edgeexpo.pruning.reconstruction`) on them and on ``pictures``, inputs of the
    network, NxCxHxW each.

    Args: the others as for :func:`edgeexpo.pruning.prune.prune_module`.

    Raises:
        UsageError: A ratio out of range, out of reach, or that would empty a layer; no gradients.
        ModuleError: ``forward`` fails or cannot be followed.
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
    """Reconstruct the layers of a pruned network, in place, on the embedded photographs and more.

    Args:
        result: The pruned network.
        whole: The one that it was made from.
        spec: Of both.
        more: Inputs, NxCxHxW each.
    """
    seen = [picture for seed in EXPOSURE_SEEDS for picture in photograph_inputs(spec, seed=seed)]
    pixels = max(tensor.shape[-2] * tensor.shape[-1] for tensor in seen[0])
    seen = seen[:: max(1, -(-len(seen) // max(FEWEST_PICTURES, MOST_PIXELS // pixels)))]
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
    size = (MIXED_PRUNING_SIDE, MIXED_PRUNING_SIDE) if mixed else _size(spec)
    return tuple(torch.zeros(1, tensor.channels, *(tensor.size or size)) for tensor in spec.inputs)


def photograph_inputs(
    spec: ModelSpec, size: tuple[int, int] | None = None, seed: int = 1
) -> list[tuple[Tensor, ...]]:
    """The embedded photographs as the network's inputs, 1xCxHxW each.

    Args:
        spec: The network.
        size: Height and width; by default those at which pruning looks at them.
        seed: Of the frames' exposures.
    """
    return sample_tensors(spec, samples(len(spec.frames), None, size or _size(spec), seed=seed))


def _size(spec: ModelSpec) -> tuple[int, int]:
    """Height and width of pictures that pruning looks at."""
    side = max(PRUNING_SIDE, spec.multiple)
    return spec.fixed_size or (side, side)
