"""Mutations of checkpoints: files that torch reads, with entries that no network expects."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgeexpo.testing.mutated.damage import Random, pick


def _not_finite(tensor: torch.Tensor) -> torch.Tensor:
    changed = tensor.clone().float().reshape(-1)
    changed[:1] = torch.nan
    return changed.reshape(tensor.shape)


ENTRIES: dict[str, Callable[[torch.Tensor], Any]] = {
    "a value that is not a number": _not_finite,
    "an infinite value": lambda t: torch.full_like(t.float(), torch.inf),
    "another shape": lambda t: torch.zeros(*t.shape, 2),
    "no element": lambda t: torch.zeros(0),
    "one axis less": lambda t: t.reshape(-1),
    "one number": lambda t: torch.zeros(()),
    "whole numbers": lambda t: t.to(torch.int64),
    "booleans": lambda t: t.bool(),
    "complex numbers": lambda t: t.to(torch.complex64),
    "half precision": lambda t: t.half(),
    "bfloat16": lambda t: t.to(torch.bfloat16),
    "eight bits": lambda t: t.float().to(torch.float8_e4m3fn),
    "double precision": lambda t: t.double(),
    "huge values": lambda t: t.float() * 1e30,
    "a sparse tensor": lambda t: t.float().to_sparse(),
    "a quantised tensor": lambda t: _quantised(t),
    "a tensor without values": lambda t: t.to("meta"),
    "a parameter": lambda t: torch.nn.Parameter(t.float()),
    "an expanded tensor": lambda t: torch.zeros(1).expand(t.shape),
    "nothing": lambda t: None,
    "a text": lambda t: "weights",
    "a number": lambda t: 1.5,
    "a list": lambda t: t.flatten().tolist(),
    "a mapping": lambda t: {"weight": t},
    "an array": lambda t: t.float().numpy(),
}
"""Values that replace a tensor, by what they are."""


class Evil:
    """A pickled call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a checkpoint ran code",))


WHOLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an empty mapping": lambda state: {},
    "nothing": lambda state: None,
    "a list of tensors": lambda state: list(state.values()),
    "one tensor": lambda state: torch.zeros(2, 3),
    "a text": lambda state: "weights",
    "numbers as keys": lambda state: dict(enumerate(state.values())),
    "mixed keys": lambda state: {**state, 7: torch.zeros(1), None: torch.zeros(1)},
    "deeper keys": lambda state: {"state_dict": {"model": {"net": state}}},
    "a mapping that holds itself": lambda state: _endless(state),
    "prefixes": lambda state: {f"module.{name}": value for name, value in state.items()},
    "two sets": lambda state: {"params": state, "params_ema": state, "optimizer": {"lr": 1}},
    "sets that are no mappings": lambda state: {"params": 1, "params_ema": None, "epoch": [1]},
    "an ordered mapping": lambda state: OrderedDict(reversed(state.items())),
    "pickled code": lambda state: {**state, "hook": Evil()},
    "a module": lambda state: torch.nn.Conv2d(1, 1, 1),
}
"""Documents that replace a checkpoint's mapping, by what they are."""


def _endless(state: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = dict(state)
    whole["state_dict"] = whole
    return whole


def _quantised(tensor: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)


def mutate_checkpoint(path: Path, random: Random) -> str:
    """Replace an entry or the whole of a checkpoint, and return the change in words."""
    found = torch.load(path, weights_only=True)
    state: dict[str, Any] = {
        name: value for name, value in found.items() if isinstance(value, torch.Tensor)
    } or {"weight": torch.zeros(3, 3)}
    if random.random() < 0.35:
        kind = pick(random, list(WHOLES))
        torch.save(WHOLES[kind](state), path)
        return kind
    name = pick(random, list(state))
    act = random.random()
    if act < 0.1:
        del state[name]
        words = f"{name} removed"
    elif act < 0.2:
        state[f"{name}_"] = state.pop(name)
        words = f"{name} renamed"
    else:
        kind = pick(random, list(ENTRIES))
        state[name] = ENTRIES[kind](state[name])
        words = f"{kind} for {name}"
    torch.save(state, path)
    return words
