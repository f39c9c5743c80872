"""The recipe that ``tune`` writes and ``export`` reads: a JSON file that is checked on reading."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.bundle.files import digest
from edgeexpo.bundle.untrusted import read_json
from edgeexpo.errors import UsageError, WeightsError
from edgeexpo.models import zoo
from edgeexpo.models.names import is_foreign
from edgeexpo.spec import from_json, to_json
from edgeexpo.targets import target_names
from edgeexpo.workflows.pruned_networks import shipped_pruned
from edgeexpo.writing import write_file

RECIPE_FORMAT = "edgeexpo-recipe-1"
"""Name of the file format, which every recipe holds."""


@dataclass(frozen=True)
class TunedRecipe:
    """The arguments of an export, with the measurements of its result.

    Paths are relative to the recipe's folder. The file of a foreign model is relative to the
    working directory.

    Attributes:
        model: A name of the zoo, ``path/to/net.py:factory``, or the class of a module in memory.
        target: Target whose engine was measured.
        size: (height, width) in pixels at which latency was measured.
        weights: Path of the checkpoint. ``None`` for the shipped checkpoint.
        weights_sha256: Digest of the checkpoint that was used. ``None`` for a module without a
            checkpoint.
        prune: The argument ``prune`` of :func:`edgeexpo.export_bundle`. ``None`` if the weights
            are used unchanged.
        keep_float: Operators that stay in float. ``None`` for shipped INT8 weights.
        calibration: Folder that the ranges were taken from. ``None`` for the embedded photographs.
        inputs: ``NAME=1x3xHxW`` for every input of a foreign module.
        measured: Quality, latency in ms, size in bytes and host.
        tools: Versions of the libraries that took part.
        format: Name of the file format, :data:`RECIPE_FORMAT`.
        weights_key: Key or prefix of the weights in the checkpoint. ``None`` for the averaged ones.
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
    weights_key: str | None = None

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Return the keyword arguments for :func:`edgeexpo.export_bundle`.

        Args:
            folder: The recipe's folder.

        Raises:
            WeightsError: The weights are missing, or differ from those that were tuned.
        """
        weights = None if self.weights is None else folder / self.weights
        self._check(weights)
        drawn = (
            None if self.keep_float is None else self.calibration
        )  # INT8 weights contain ranges.
        return {
            "model": self.model,
            "targets": (self.target,),
            "size": None if is_foreign(self.model) else self.size,
            "weights": weights,
            "weights_key": self.weights_key,
            "prune": self.prune,
            "keep_float": self.keep_float,
            "calibration": None if drawn is None else folder / drawn,
            "inputs": self.inputs,
        }

    def _check(self, weights: Path | None) -> None:
        path = weights
        if path is None and not is_foreign(self.model):
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
        OutputError: The file cannot be written. An existing file stays unchanged.
    """
    write_file(path, (json.dumps(to_json(recipe), indent=1, allow_nan=False) + "\n").encode())


def read_recipe(path: Path) -> TunedRecipe:
    """Read a recipe that :func:`write_recipe` wrote.

    Raises:
        UsageError: The file is missing, or this version cannot read it as a recipe.
    """
    again = "make one with: edgeexpo tune NAME `target` ... `output` FILE"
    try:
        data = read_json(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; {again}") from error
    except ValueError as error:  # not JSON, or not such as we write
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
    """Return ``path`` relative to ``folder``, with slashes. ``None`` stays ``None``."""
    return None if path is None else Path(os.path.relpath(path, folder.resolve())).as_posix()
