"""Pruned checkpoints, whose weights make a network of the zoo narrower."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexpo.errors import WeightsError
from edgeexpo.failures import reading
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.pruning.narrowing import narrow
from edgeexpo.writing import write_file

PRUNED = "pruned"
"""Key in the metadata of pruned checkpoints, with the share of operations that was removed."""


def load_checkpoint(
    module: nn.Module, path: Path, preset: str | None = None, key: str | None = None
) -> None:
    """Load a checkpoint into a freshly built ``module``.

    A pruned checkpoint makes the module's layers narrower.

    Args:
        module: Network to change in place.
        path: A ``.safetensors`` or ``.pth`` file. Only a ``.safetensors`` file can be pruned.
        preset: Preset of ``module``. A pruned checkpoint of another preset is refused.
        key: Key or prefix of the wanted weights (:func:`~edgeexpo.models.weights.read_weights`).

    Raises:
        WeightsError: The file cannot be read, or does not fit the network.
    """
    state = read_weights(path, key)
    metadata = read_metadata(path)
    if PRUNED in metadata:
        made_for = metadata.get("preset")
        if preset is not None and made_for != preset:
            raise WeightsError(f"{path} is a pruned {made_for}; expected weights of {preset}")
        fit_widths(module, state)
    load_weights(module, state, str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a ``.safetensors`` file, or an empty dict for other files."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    again = "write it again with: edgeexpo prune"
    with (
        reading(path, WeightsError, "is not a readable safetensors file", again),
        safe_open(path, framework="pt") as file,
    ):
        return dict(file.metadata() or {})


def save_pruned(module: nn.Module, path: Path, preset: str, ratio: float) -> None:
    """Write the weights of a pruned network with the metadata that :func:`load_checkpoint` needs.

    Args:
        module: Pruned network.
        path: A ``.safetensors`` file. An existing file is replaced atomically.
        preset: Preset of the network before pruning.
        ratio: Share of the multiply-accumulates that was removed.

    Raises:
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    state = {name: value.detach().contiguous() for name, value in module.state_dict().items()}
    write_file(path, save(state, {"preset": preset, PRUNED: f"{ratio:.4f}"}))


def fit_widths(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Narrow the layers of ``module`` to the shapes in ``state``, without loading values.

    If ``state`` is not a narrowing of ``module`` (other names, a wider layer, another kernel), the
    module stays unchanged. :func:`~edgeexpo.models.weights.load_weights` then reports the reason.
    """
    own = module.state_dict()
    if own.keys() != state.keys():
        return
    changed = {n: v for n, v in state.items() if v.shape != own[n].shape}
    if all(_narrows(v.shape, own[n].shape) for n, v in changed.items()):
        narrow(module, {n: torch.empty_like(v, dtype=own[n].dtype) for n, v in changed.items()})


def _narrows(small: torch.Size, large: torch.Size) -> bool:
    """Return True when only the two channel axes are shorter, and neither is empty."""
    return (
        len(small) == len(large) > 0
        and small[2:] == large[2:]
        and all(0 < s <= b for s, b in zip(small[:2], large[:2], strict=True))
    )
