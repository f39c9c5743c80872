"""Search for a network's weights in a checkpoint, which may hold several sets of weights.

Training scripts keep the weights under a key, often twice: as trained, and averaged over the steps
(EMA, SWA). The averaged weights are those that authors publish results with, so they come first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from edgeexpo.errors import WeightsError
from edgeexpo.progress import note

State = dict[str, torch.Tensor]
"""Weights by name."""

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "params",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "generator",
    "net_g",
    "g",
)
"""Keys under which training scripts keep the weights, the most telling one first."""

AVERAGED = frozenset(("ema", "swa", "averaged", "average", "avg", "shadow"))
"""Words in the keys of averaged weights."""

_ASIDE = frozenset(("optimizer", "optimizers", "optim", "scheduler", "scaler", "rng"))
"""Words in the keys of what a training script keeps besides weights."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Parts of names that ``torch.compile``, FSDP and activation checkpointing insert."""

_PARALLEL = "module."
"""Prefix of the names of a module in ``DataParallel``."""

_DEEPEST = 3
"""Number of keys that may lead to a set of weights."""


def find_state(data: Any, source: str, key: str | None = None) -> State:
    """Return the weights that a checkpoint holds, without the names of wrapping modules.

    A note says which weights were taken if the checkpoint holds several sets.

    Args:
        data: Content of the checkpoint: a state dict, or a dict that holds some.
        source: Name of the checkpoint for messages.
        key: Key of the wanted weights, with dots between nested keys. A prefix of names, such as
            ``model_ema``, is a key too. By default, averaged weights come first.

    Raises:
        WeightsError: The checkpoint holds no weights, none under ``key``, or several sets that no
            key tells apart.
    """
    found = _sets(data)
    if not found:
        raise WeightsError(
            f"{source} holds a {type(data).__name__} without weights; expected a state_dict of "
            "tensors"
        )
    if key is not None:
        return without_wrappers(_asked(found, source, key))
    ranked = _telling(found)
    if len(ranked) > 1 and _rank(ranked[0]) == _rank(ranked[1]):
        raise WeightsError(
            f"{source} holds weights under {', '.join(found)}; choose one with `weights_key`"
        )
    if len(found) > 1:
        taken(source, ranked[0], [name for name in found if name != ranked[0]])
    return without_wrappers(found[ranked[0]])


def is_averaged(name: str) -> bool:
    """Return true if a key or prefix names averaged weights, as in ``params_ema``."""
    return not AVERAGED.isdisjoint(_words(name))


def taken(source: str, name: str, others: Iterable[str]) -> None:
    """Print a note on which weights were taken, and which others the checkpoint holds."""
    how = " (averaged)" if is_averaged(name) else ""
    note(
        f"{source}: the weights {name}{how} were taken; it also holds {', '.join(others)}; "
        "`weights_key` chooses"
    )


def without_wrappers(state: Mapping[str, torch.Tensor]) -> State:
    """Return weights by the names that they have without wrapping modules.

    The modules are those of ``DataParallel``, ``torch.compile``, FSDP and activation checkpointing.
    The names are unchanged if two weights would share one.
    """
    names = {name: _unwrapped(name) for name in state}
    while names and all(name.startswith(_PARALLEL) for name in names.values()):
        names = {old: name.removeprefix(_PARALLEL) for old, name in names.items()}
    if len(set(names.values())) < len(names):
        return dict(state)
    return {names[name]: value for name, value in state.items()}


def prefix_of(state: Mapping[str, torch.Tensor], names: Collection[str], source: str) -> str:
    """Return the prefix under which a state dict holds a network, as Lightning's ``model.``.

    The averaged weights come first, as in :func:`find_state`. A note names other prefixes.

    Args:
        state: Weights by name.
        names: Names of the network's own weights.
        source: Name of the checkpoint for messages.

    Returns:
        The prefix. It is empty if one of ``names`` fits as it is, or if no prefix leads to a third
        of them: an old weight normalisation shares only the bias with a new one.

    Raises:
        WeightsError: Several prefixes lead to the same names.
    """
    if any(name in state for name in names):
        return ""
    fits: Counter[str] = Counter()
    for name in state:
        places = [match.end() for match in re.finditer(r"\.", name)]
        fits.update(name[:place] for place in places if name[place:] in names)
    enough = max(len(names), 2 * max(fits.values(), default=0))
    likely = [prefix for prefix in fits if fits[prefix] * 3 >= enough]
    likely.sort(key=lambda prefix: (not is_averaged(prefix), -fits[prefix]))
    if not likely:
        return ""
    first, *others = likely
    if any((is_averaged(p), fits[p]) == (is_averaged(first), fits[first]) for p in others):
        shown = ", ".join(prefix.rstrip(".") for prefix in likely)
        raise WeightsError(f"{source} holds weights under {shown}; choose one with `weights_key`")
    aside = dict.fromkeys(n.partition(".")[0] for n in state if not n.startswith(first))
    if aside:
        taken(source, first.rstrip("."), aside)
    return first


def _sets(data: Any, path: str = "", depth: int = 0) -> dict[str, State]:
    """Return key -> weights for every set of weights in ``data``; the top has an empty key."""
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        return {}
    if (data or not path) and all(isinstance(value, torch.Tensor) for value in data.values()):
        return {path: dict(data)}
    if depth == _DEEPEST:
        return {}
    found: dict[str, State] = {}
    for name, value in data.items():
        if _ASIDE.isdisjoint(_words(name)):
            found |= _sets(value, f"{path}.{name}" if path else name, depth + 1)
    return found


def _asked(found: Mapping[str, State], source: str, key: str) -> State:
    """Return the weights under ``key``, which is a key, the start of one, or a prefix of names."""
    asked = key.rstrip(".")
    if asked in found:
        return found[asked]
    inside = {name: state for name, state in found.items() if name.startswith(f"{asked}.")}
    if inside:
        return inside[_telling(inside)[0]]
    for path, state in found.items():
        start = f"{asked.removeprefix(f'{path}.') if path else asked}."
        under = {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
        if under:
            return under
    raise WeightsError(f"{source} has no weights under {key!r}; expected {_known(found)}")


def _known(found: Mapping[str, State]) -> str:
    firsts = {name.partition(".")[0]: None for state in found.values() for name in state}
    return f"one of {', '.join([name for name in found if name] or firsts)}"


def _telling(found: Mapping[str, State]) -> list[str]:
    """Return the keys of the sets, the most telling first.

    Statistics and counters are left out where another set has a matrix or kernel.
    """
    heavy = [name for name, state in found.items() if any(v.dim() > 1 for v in state.values())]
    return sorted(heavy or found, key=_rank)


def _rank(path: str) -> tuple[bool, int]:
    """Return a number that is smaller for a more telling key. Averaged weights come first."""
    plain = [part for part in map(_plain, path.split(".")) if part]
    ranks = [WRAPPERS.index(part) if part in WRAPPERS else len(WRAPPERS) for part in plain]
    return not is_averaged(path), max(ranks, default=0)


def _plain(name: str) -> str:
    """Return a key in small letters, without the words of averaging, as in ``params``."""
    return "_".join(word for word in _words(name) if word not in AVERAGED)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _unwrapped(name: str) -> str:
    for part in _INNER:
        name = name.replace(part, "")
    return name
