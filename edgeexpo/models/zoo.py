"""The zoo of networks that edgeexpo knows by name."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeexpo.errors import UsageError
from edgeexpo.spec import ModelSpec

if TYPE_CHECKING:
    import torch

_Shape = TypeVar("_Shape")

SYSTEMS = {
    "lrl": ("lrl-8", "lrl-mobile", "lrl-8-w32", "lrl-3", "lrl-23"),
    "twophase": (
        "twophase-mobile",
        "twophase-full",
        "twophase-unet-mobile",
        "twophase-unet-full",
        "twophase-mean-mobile",
    ),
    "exponet": (
        "exponet-mobile",
        "exponet-full",
        "exponet-lab-mobile",
        "exponet-double-mobile",
        "exponet-double-full",
        "exponet-double-lab-mobile",
        "exponet-double-nobypass-mobile",
        "exponet-double-plain-mobile",
    ),
    "expandnet": (
        "expandnet-full",
        "expandnet-mobile",
        "expandnet-noglobal-mobile",
        "expandnet-nodilated-mobile",
        "expandnet-nolocal-mobile",
    ),
    "kdfusion": (
        "kdfusion-mobile",
        "kdfusion-full",
        "kdfusion-dense-mobile",
        "kdfusion-dense-full",
        "kdfusion-teacher-mobile",
        "kdfusion-teacher-full",
        "kdfusion-baseline-mobile",
        "kdfusion-baseline-full",
    ),
}
"""Systems by their module in ``edgeexpo.models``, each with the names of its presets."""

ENTRIES = {
    preset: f"edgeexpo.models.{module}" for module, presets in SYSTEMS.items() for preset in presets
}
"""Entries by preset name, each a module with ``spec(name)`` and ``build(name)``.

Modules are imported on use."""

ALIASES = {
    "lrl": "lrl-8",
    "twophase": "twophase-mobile",
    "twophase-unet": "twophase-unet-mobile",
    "twophase-mean": "twophase-mean-mobile",
    "exponet": "exponet-mobile",
    "exponet-lab": "exponet-lab-mobile",
    "exponet-double": "exponet-double-mobile",
    "exponet-double-lab": "exponet-double-lab-mobile",
    "expandnet": "expandnet-full",
    "kdfusion": "kdfusion-mobile",
    "kdfusion-dense": "kdfusion-dense-mobile",
    "kdfusion-teacher": "kdfusion-teacher-mobile",
    "kdfusion-baseline": "kdfusion-baseline-mobile",
}
"""Aliases of presets, the plain names of systems."""

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the shipped weights."""

INT8_SUFFIX = ".int8.safetensors"
"""Suffix of files with INT8 weights."""


@dataclass(frozen=True)
class ModelEntry:
    """One network of the zoo.

    Attributes:
        name: Name of the preset.
        spec: Spec of the network, with the stages around it.
        weights: Shipped checkpoint, or ``None`` for a preset that is defined but not trained.
        int8: Shipped INT8 weights made from ``weights``, where they are better than calibration
            alone, or ``None``.
        trained_on: Description of the training data in one line, or ``None`` without weights.
    """

    name: str
    spec: ModelSpec
    weights: Path | None
    int8: Path | None
    trained_on: str | None

    def build(self) -> torch.nn.Module:
        """Build a new module with the architecture of this entry and untrained weights."""
        module: torch.nn.Module = _module(self.name).build(self.name)
        return module


def shipped() -> list[str]:
    """Return the names of the presets that have weights."""
    return [name for name in ENTRIES if get(name).weights is not None]


def preset_of(name: str) -> str:
    """Return the preset that a preset's name or an alias stands for.

    Raises:
        UsageError: The name is unknown. The message suggests the nearest name.
    """
    preset = ALIASES.get(name, name)
    if preset not in ENTRIES:
        known = [*ALIASES, *ENTRIES]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "expected path/to/net.py:factory or"
        raise UsageError(f"unknown model {name!r}; {hint} one of: {', '.join(known)}")
    return preset


def get(name: str) -> ModelEntry:
    """Return the entry of a preset or alias.

    Raises:
        UsageError: The name is unknown. The message suggests the nearest name.
    """
    preset = preset_of(name)
    weights, int8 = (WEIGHTS / f"{preset}{suffix}" for suffix in (".safetensors", INT8_SUFFIX))
    card = WEIGHTS / f"{preset}.json"
    trained_on = json.loads(card.read_text("utf-8"))["trained_on"] if card.is_file() else None
    return ModelEntry(
        name=preset,
        spec=_module(preset).spec(preset),
        weights=weights if weights.is_file() else None,
        int8=int8 if int8.is_file() else None,
        trained_on=trained_on,
    )


def _module(preset: str) -> Any:
    return importlib.import_module(ENTRIES[preset])


def preset_named(presets: Mapping[str, _Shape], name: str) -> _Shape:
    """Return the shape of the preset called ``name``, for the module that defines a system.

    Raises:
        UsageError: No preset has this name.
    """
    if name not in presets:
        raise UsageError(f"unknown preset {name!r}; expected one of {', '.join(presets)}")
    return presets[name]
