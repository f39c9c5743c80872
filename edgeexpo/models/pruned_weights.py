"""Pruned checkpoints: a network of the zoo with narrower layers, as its weights say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexpo.errors import WeightsError
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.pruning.narrowing import narrow
from edgeexpo.writing import write_file

PRUNED = "pruned"
"""Key of a checkpoint's metadata that only pruned ones have: the share of operations removed."""


def load_checkpoint(module: nn.Module, path: Path, preset: str | None = None) -> None:
    """Load a checkpoint into a freshly built ``module``, which a pruned one makes narrower.

    Args:
        module: The network; changed in place.
        path: A ``.safetensors`` or ``.pth`` file; only the former can be a pruned one.
        preset: What ``module`` is; a pruned checkpoint of another preset is refused.

    Raises:
        WeightsError: The file cannot be read, or does not fit the network.
    """
    state = read_weights(path)
    metadata = read_metadata(path)
    if PRUNED in metadata:
        made_for = metadata.get("preset")
        if preset is not None and made_for != preset:
            raise WeightsError(f"{path} is a pruned {made_for}; expected weights of {preset}")
        fit_widths(module, state)
    load_weights(module, state, str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """What a ``.safetensors`` file says about itself; nothing for other files."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def save_pruned(module: nn.Module, path: Path, preset: str, ratio: float) -> None:
    """Write the weights of a pruned network with what :func:`load_checkpoint` needs to know.

    Args:
        module: The pruned network.
        path: A ``.safetensors`` file; an existing one is replaced as a whole.
        preset: The preset that it was.
        ratio: Share of the multiply-accumulates that was removed.

    Raises:
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    state = {name: value.detach().contiguous() for name, value in module.state_dict().items()}
    write_file(path, save(state, {"preset": preset, PRUNED: f"{ratio:.4f}"}))


def fit_widths(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Narrow the layers of ``module`` to the shapes in ``state``; its values are not loaded.

    A ``state`` that is no narrowing of ``module`` (other names, something wider, another kernel)
    leaves it as it is, and :func:`~edgeexpo.models.weights.load_weights` then says why.
    """
    own = module.state_dict()
    if own.keys() != state.keys():
        return
    changed = {n: v for n, v in state.items() if v.shape != own[n].shape}
    if all(_narrows(v.shape, own[n].shape) for n, v in changed.items()):
        narrow(module, {n: torch.empty_like(v, dtype=own[n].dtype) for n, v in changed.items()})


def _narrows(small: torch.Size, large: torch.Size) -> bool:
    """True where only the two axes that count channels are shorter, and none is empty."""
    return (
        len(small) == len(large) > 0
        and small[2:] == large[2:]
        and all(0 < s <= b for s, b in zip(small[:2], large[:2], strict=True))
    )
