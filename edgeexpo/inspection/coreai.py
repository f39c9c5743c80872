"""Contents of an ``.aimodel`` folder, as ``inspect`` shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeexpo.errors import BundleError, EngineError
from edgeexpo.runtime.engines.coreai import FUNCTION, open_asset
from edgeexpo.silence import muted

_TENSOR = re.compile(r"NDArray \((\w+), (.*)\)")
"""A tensor in Core AI's words: its type and its sides, with ``?`` for a varying side."""


def coreai_contents(path: Path) -> dict[str, Any]:
    """Return the contents of an ``.aimodel`` folder: Core AI's operators and their types.

    Raises:
        BundleError: The folder is no Core AI model, or its program is damaged.
        MissingDependencyError: Core AI is not installed.
    """
    try:
        with muted():
            summary = open_asset(path).summary()
    except (EngineError, RuntimeError) as error:
        raise _damaged(path, error) from error
    if summary is None or FUNCTION not in summary.function_names:
        raise _damaged(path, f"it has no function {FUNCTION}")
    return {
        "kind": "coreai",
        "inputs": _tensors(path, summary.function_inputs(FUNCTION)),
        "outputs": _tensors(path, summary.function_outputs(FUNCTION)),
        "operators": dict(summary.operation_distribution),
        "compute_types": [name.lower() for name in summary.compute_types],
        "storage_types": {name.lower(): count for name, count in summary.storage_types},
    }


def _tensors(path: Path, described: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    found = []
    for name, words in described:
        match = _TENSOR.fullmatch(words)
        if match is None:
            raise _damaged(path, f"{name} is {words!r}, not a tensor")
        sides = re.findall(r"\d+|\?", match[2])
        shape = [int(side) if side.isdecimal() else None for side in sides]
        found.append({"name": name, "shape": shape, "dtype": match[1].lower()})
    return found


def _damaged(path: Path, reason: object) -> BundleError:
    return BundleError(f"{path} is not a Core AI model: {reason}; export it again")
