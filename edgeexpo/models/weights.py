"""Checkpoints, which are read safely and loaded strictly."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from edgeexpo.errors import WeightsError
from edgeexpo.failures import reading
from edgeexpo.models.checkpoint_layout import find_state, prefix_of, without_wrappers

_SAVE_AGAIN = "save it again with torch.save(module.state_dict(), path) or as .safetensors"

SHOWN = 3
"""Number of keys that an error message shows."""


def read_weights(path: Path, key: str | None = None) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors`` or, with ``weights_only=True``, from ``.pth``.

    The suffixes ``.pt``, ``.ckpt`` and ``.bin`` are read like ``.pth``. Wrapping dicts and the
    names of wrapping modules are removed (:mod:`edgeexpo.models.checkpoint_layout`). Of several
    sets of weights the averaged one is taken, and a note says so.

    Args:
        path: The file.
        key: Key or prefix of the wanted weights, such as ``params``. By default, averaged weights
            come first.

    Returns:
        CPU tensors by name. Tensors of less than 32 bits a number become float32.

    Raises:
        WeightsError: The file is missing, damaged, or needs more than plain tensors to be read. Or
            it holds no weights under ``key``, or several sets that no key tells apart.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; expected a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        data: Any = _read_safetensors(path)
    elif path.suffix in (".pth", ".pt", ".ckpt", ".bin"):
        data = _read_pickle(path)
    else:
        raise WeightsError(f"{path} is a {path.suffix or 'file'}; expected .safetensors or .pth")
    state = find_state(data, str(path), key)
    for name, value in state.items():
        if (odd := _odd(value)) is not None:
            raise WeightsError(
                f"{path}: {name} is {odd}; expected plain numbers: save the state_dict of the "
                "float network"
            )
    return {name: _single(value) for name, value in state.items()}


def load_weights(module: torch.nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load ``state`` into ``module``, with all keys, equal shapes and only finite values.

    Everything is loaded that ``module.load_state_dict`` loads. A counter of an old batch
    normalisation and the other names of a shared tensor may be missing. The weights of an old
    weight normalisation are converted. The weights may stand under one prefix.

    Args:
        module: Network to change in place. It stays unchanged if the weights do not fit.
        state: Weights by name.
        source: Name of the weights for error messages.

    Raises:
        WeightsError: Keys are missing or left over, a shape differs, or a value is not finite. Or
            several prefixes lead to weights of the network.
    """
    wanted = module.state_dict()
    given = _named_alike(wanted, state, source)
    other = {k: v for k, v in given.items() if k in wanted and v.shape != wanted[k].shape}
    before = {k: v.detach().clone() for k, v in wanted.items()}
    try:
        _load(module, {k: v for k, v in given.items() if k not in other}, other, source)
        for key, value in other.items():
            raise WeightsError(
                f"{source}: {key} is {_shape(value)}, the network expects {_shape(wanted[key])}"
            )
        for key, value in given.items():
            if value.is_complex() and not wanted[key].is_complex():
                raise WeightsError(f"{source}: {key} is complex, the network expects real numbers")
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise WeightsError(f"{source}: {key} has NaN or infinite values; train it again")
    except WeightsError:
        module.load_state_dict(before)
        raise


def _named_alike(
    wanted: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], source: str
) -> dict[str, torch.Tensor]:
    """Return the weights under the network's own names, as far as wrappers and a prefix differ."""
    if wanted.keys() == state.keys():
        return dict(state)
    own = without_wrappers({name: torch.empty(0) for name in wanted})
    names = dict(zip(own, wanted, strict=True))
    plain = without_wrappers(state)
    prefix = prefix_of(plain, names.keys(), source)
    inside = {n.removeprefix(prefix): v for n, v in plain.items() if n.startswith(prefix)}
    return {names.get(name, name): value for name, value in inside.items()}


def _load(
    module: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    other: Collection[str],
    source: str,
) -> None:
    """Load what has the right shape, as torch does.

    Args:
        module: Network to change in place.
        state: Weights by the network's own names.
        other: Names of weights that are left out because their shape differs.
        source: Name of the weights for error messages.

    Raises:
        WeightsError: Keys are missing or left over, or a converted weight has another shape.
    """
    try:
        missing, extra = module.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{source} does not fit the network ({reason})") from error
    present = {_place(v) for k, v in module.state_dict().items() if k not in {*missing, *other}}
    own = module.state_dict()
    missing = [k for k in missing if k not in other and _place(own[k]) not in present]
    parts = [
        f"{len(keys)} {word} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
        for word, keys in (("missing", missing), ("unknown", extra))
        if keys
    ]
    if parts:
        raise WeightsError(
            f"{source} does not fit the network: {' and '.join(parts)}; expected its own state_dict"
        )


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    """Return what two names of one shared tensor have in common. Empty tensors share nothing."""
    if tensor.numel() == 0:
        return (object(),)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _odd(value: torch.Tensor) -> str | None:
    """Return in words why the values of a tensor cannot be copied, or ``None`` if they can."""
    if value.is_meta:
        return "without values (meta device)"
    if value.is_quantized:
        return "quantised"
    return None if value.layout is torch.strided else "sparse"


def _single(value: torch.Tensor) -> torch.Tensor:
    small = value.is_floating_point() and value.itemsize < torch.float32.itemsize
    return value.float() if small else value


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a file. ``save_model`` notes the other names of shared tensors in the metadata."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with reading(path, WeightsError, "is not a readable safetensors file", _SAVE_AGAIN):
        state = load_file(path)
        with safe_open(path, framework="pt") as file:
            names = dict(file.metadata() or {})
    shared = {name: state[kept] for name, kept in names.items() if kept in state}
    return {**shared, **state}


def _read_pickle(path: Path) -> Any:
    with reading(path, WeightsError, "is not a readable checkpoint", _SAVE_AGAIN):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            reason = str(error).split("\n")[0][:160]
            raise WeightsError(
                f"{path} needs code to be read ({reason}); only plain tensors are read: "
                f"{_SAVE_AGAIN}"
            ) from error


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
