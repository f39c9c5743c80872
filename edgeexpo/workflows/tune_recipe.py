"""The recipe that ``tune`` writes and ``export`` takes: JSON, checked when it is read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.bundle.files import digest
from edgeexpo.errors import UsageError, WeightsError
from edgeexpo.models import foreign, zoo
from edgeexpo.spec import from_json, to_json
from edgeexpo.targets import target_names
from edgeexpo.workflows.pruned_networks import shipped_pruned
from edgeexpo.writing import write_file

RECIPE_FORMAT = "edgeexpo-recipe-1"


@dataclass(frozen=True)
class TunedRecipe:
    """What to export, and what was measured of it.

    Paths are relative to the recipe's folder; a foreign model's file, to the working directory.

    Attributes:
        model: A name of the zoo, ``path/to/net.py:factory``, or the class of a module in memory.
        target: The engine's target that it was measured on.
        size: (height, width) in pixels at which latency was measured.
        weights: Checkpoint; ``None`` for the shipped one.
        weights_sha256: Digest of the checkpoint that was used; ``None`` for a module without one.
        prune: As for :func:`edgeexpo.export_bundle`; ``None``: the weights are used as they are.
        keep_float: Operators that stay in float; ``None`` for the INT8 weights that ship.
        calibration: Folder that the ranges were taken from; ``None``: the embedded photographs.
        inputs: ``NAME=1x3xHxW`` of every input of a foreign module.
        measured: Quality, latency, bytes and host.
        tools: Versions of the libraries that took part.
    """

    model: str
    target: str
    size: tuple[int, int]
    weights: str | None
    weights_sha256: str | None
    prune: float | None
    keep_float: tuple[str, ...] | None
    calibration: str | None
    inputs: tuple[str, ...]
    measured: Mapping[str, Any]
    tools: Mapping[str, str]
    format: str = RECIPE_FORMAT

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Keyword arguments of :func:`edgeexpo.export_bundle`.

        Args:
            folder: The recipe's folder.

        Raises:
            WeightsError: The weights are missing, or others than were tuned.
        """
        weights = None if self.weights is None else folder / self.weights
        self._check(weights)
        drawn = None if self.keep_float is None else self.calibration  # INT8 weights have ranges
        return {
            "model": self.model,
            "targets": (self.target,),
            "size": None if foreign.is_foreign(self.model) else self.size,
            "weights": weights,
            "prune": self.prune,
            "keep_float": self.keep_float,
            "calibration": None if drawn is None else folder / drawn,
            "inputs": self.inputs,
        }

    def _check(self, weights: Path | None) -> None:
        path = weights
        if path is None and not foreign.is_foreign(self.model):
            entry = zoo.get(self.model)
            shipped = None if self.prune is None else shipped_pruned(entry.name, self.prune)
            path = shipped or entry.weights
        if path is not None and not path.is_file():
            raise WeightsError(f"the recipe's weights {path} are missing; tune again")
        if (None if path is None else digest(path)) != self.weights_sha256:
            raise WeightsError(
                f"{path or self.model} has other weights than the recipe was tuned for; tune again"
            )


def write_recipe(path: Path, recipe: TunedRecipe) -> None:
    """Write ``recipe`` to ``path`` in one step.

    Raises:
        OutputError: The file cannot be written; an existing one is untouched.
    """
    write_file(path, (json.dumps(to_json(recipe), indent=1, allow_nan=False) + "\n").encode())


def read_recipe(path: Path) -> TunedRecipe:
    """Read a file of :func:`write_recipe`.

    Raises:
        UsageError: It is missing, or no recipe that this version reads.
    """
    again = "make one with: edgeexpo tune NAME `target` ... `output` FILE"
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; {again}") from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise UsageError(f"{path} is not a recipe ({error}); {again}") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != RECIPE_FORMAT:
        raise UsageError(
            f"{path} is not a recipe: its format is {found!r}, not {RECIPE_FORMAT!r}; {again}"
        )
    try:
        recipe = from_json(TunedRecipe, data)
    except TypeError as error:
        raise UsageError(f"{path} is a damaged recipe ({error}); {again}") from error
    if recipe.target not in (known := target_names()):
        raise UsageError(f"{path} is for {recipe.target!r}; expected one of {', '.join(known)}")
    return recipe


def relative(path: str | os.PathLike[str] | None, folder: Path) -> str | None:
    """``path`` as a recipe in ``folder`` keeps it."""
    return None if path is None else Path(os.path.relpath(path, folder.resolve())).as_posix()
