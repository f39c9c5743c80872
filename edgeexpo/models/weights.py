"""Checkpoints, which are read safely and loaded strictly."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from edgeexpo.errors import WeightsError

WRAPPERS = ("state_dict", "model_state_dict", "params", "params_ema", "model")
"""Keys under which training scripts keep the weights in a larger checkpoint."""

SHOWN = 3
"""Number of keys that an error message shows."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors`` or, with ``weights_only=True``, from ``.pth``.

    The suffixes ``.pt``, ``.ckpt`` and ``.bin`` are read like ``.pth``. A wrapping dict
    (:data:`WRAPPERS`) and a prefix ``module.`` of all keys are removed.

    Returns:
        CPU tensors by name. Half-precision tensors of a ``.safetensors`` file become float32.

    Raises:
        WeightsError: The file is missing, damaged, or needs more than plain tensors to be read.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; expected a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        state = _read_safetensors(path)
    elif path.suffix in (".pth", ".pt", ".ckpt", ".bin"):
        state = _read_pickle(path)
    else:
        raise WeightsError(f"{path} is a {path.suffix or 'file'}; expected .safetensors or .pth")
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def load_weights(module: torch.nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load ``state`` into ``module``, with all keys, equal shapes and only finite values.

    Args:
        module: Network to change in place.
        state: Weights by name.
        source: Name of the weights for error messages.

    Raises:
        WeightsError: Keys are missing or left over, a shape differs, or a value is not finite.
    """
    wanted = module.state_dict()
    missing = [k for k in wanted if k not in state]
    extra = [k for k in state if k not in wanted]
    if missing or extra:
        parts = [
            f"{len(keys)} {word} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
            for word, keys in (("missing", missing), ("unknown", extra))
            if keys
        ]
        raise WeightsError(
            f"{source} does not fit the network: {' and '.join(parts)}; expected its own state_dict"
        )
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise WeightsError(
                f"{source}: {key} is {_shape(value)}, the network expects {_shape(wanted[key])}"
            )
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{source}: {key} has NaN or infinite values; train it again")
    module.load_state_dict(dict(state))


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from error
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n")[0][:160]
        raise WeightsError(
            f"{path} needs code to be read ({reason}); only plain tensors are read: "
            "save it again with torch.save(module.state_dict(), path) or as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is not a readable checkpoint ({error})") from error
    for key in WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
            break
    if not isinstance(data, Mapping) or not all(isinstance(v, torch.Tensor) for v in data.values()):
        kind = type(data).__name__
        raise WeightsError(f"{path} holds a {kind}; expected a state_dict of tensors")
    return {str(k): v for k, v in data.items()}


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
