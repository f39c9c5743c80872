"""Mutations of JSON documents, which stay JSON but no longer say what a reader expects."""

from __future__ import annotations

import copy
from typing import Any

from edgeexpo.testing.mutated.damage import Random, pick

DEPTH = 3000
"""Depth of a value that is nested too deeply."""


def mutated(document: Any, random: Random) -> tuple[Any, str]:
    """Return a copy of a document with one change, and the change in words."""
    changed = {"": copy.deepcopy(document)}
    holder: Any = changed
    key: Any = ""
    path = ""
    while (inner := _keys(holder[key])) and random.random() < 0.85:
        holder, key = holder[key], pick(random, inner)
        path = f"{path}.{key}" if path else str(key)
    words = _change(holder, key, random)
    return changed.get(""), f"{words} at {path or 'the root'}"


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []


def _change(holder: Any, key: Any, random: Random) -> str:
    """Change one entry of a mapping or list, and return what was done."""
    kind = pick(random, ("remove", "replace", "replace", "replace", "copy", "add", "rename"))
    if kind == "remove":
        del holder[key]
    elif kind == "copy" and isinstance(holder[key], list):
        holder[key] *= 2
    elif kind == "add" and isinstance(holder[key], dict):
        holder[key]["unknown"] = _value(holder[key], random)
    elif kind == "rename" and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    else:
        kind, holder[key] = "replace", _value(holder[key], random)
        return f"{kind} by {_shown(holder[key])}"
    return kind


def _value(old: Any, random: Random) -> Any:
    """Return a value to replace ``old`` by: of another type, or extreme."""
    old = copy.deepcopy(old)
    values: list[Any] = [
        None,
        True,
        "",
        "\u0416\ud83d\ude00",
        "x" * 5000,
        "../../outside",
        "/dev/null",
        [],
        {},
    ]
    values += [0, -1, 1, 1 << 62, -(1 << 62), 10**400, 0.5, 1e308, float("nan"), float("inf")]
    values += [[old], {"value": old}, [old] * 3, str(old)]
    if random.random() < 0.03:
        return _nested()
    return pick(random, values)


def _nested() -> Any:
    value: Any = []
    for _ in range(DEPTH):
        value = [value]
    return value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "a deeply nested list"
    return text if len(text) <= 40 else f"{text[:40]}..."
