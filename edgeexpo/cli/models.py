"""``edgeexpo models``: list the networks that ship, their cost and their training data."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import MissingDependencyError

COUNTED_SIDE = 512
"""Side in pixels of the picture for which multiply-accumulates are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print one row for each network.

    Raises:
        MissingDependencyError: torch, which builds the networks, is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingDependencyError(
            "torch is not installed and builds the networks to count them; "
            "in a clone of edgeexpo: pip install '.[export]'"
        )
    from edgeexpo.models.zoo import ENTRIES

    rows = [_row(name) for name in ENTRIES]
    emit(args, rows, _text(rows))
    return 0


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the networks that ship weights, and one of the others."""
    from edgeexpo.models.zoo import ALIASES

    typed = {preset: alias for alias, preset in ALIASES.items()}
    shown = [
        {
            "name": typed.get(row["name"], row["name"]),
            "task": row["task"],
            "params": row["params"],
            "GMACs": row["gmacs_512"],
        }
        for row in rows
    ]
    ships = [row["weights_sha256"] is not None for row in rows]
    ready = [row for row, has in zip(shown, ships, strict=True) if has]
    others = [row for row, has in zip(shown, ships, strict=True) if not has]
    return "\n".join(
        [
            f"Networks with weights (GMACs at {COUNTED_SIDE}x{COUNTED_SIDE} pixels):",
            "",
            table(ready, list(shown[0])),
            "",
            "Presets without weights, for edgeexpo train:",
            "",
            table(others, ["name", "params", "GMACs"]),
            "",
            "What each was trained on: edgeexpo models --json, and the cards beside the weights.",
        ]
    )


def _row(name: str) -> dict[str, Any]:
    from edgeexpo.bundle.files import digest
    from edgeexpo.models.cost import count_cost
    from edgeexpo.models.zoo import get

    entry = get(name)
    shapes = [
        (1, tensor.channels, *(tensor.size or (COUNTED_SIDE, COUNTED_SIDE)))
        for tensor in entry.spec.inputs
    ]
    cost = count_cost(entry.build(), shapes)
    return {
        "name": name,
        "task": entry.spec.task,
        "frames": entry.spec.frames,
        "inputs": entry.spec.inputs,
        "params": cost.params,
        "gmacs_512": round(cost.macs / 1e9, 3),
        "weights_sha256": None if entry.weights is None else digest(entry.weights),
        "trained_on": entry.trained_on,
    }
