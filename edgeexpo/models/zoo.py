"""Every network that edgeexpo knows by name."""

from __future__ import annotations

import difflib
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.errors import UsageError
from edgeexpo.spec import ModelSpec

if TYPE_CHECKING:
    import torch

ENTRIES = {
    "lrl-3": "edgeexpo.models.lrl",
    "lrl-8": "edgeexpo.models.lrl",
    "lrl-mobile": "edgeexpo.models.lrl",
    "lrl-8-w32": "edgeexpo.models.lrl",
    "lrl-23": "edgeexpo.models.lrl",
}
"""Name -> module that offers ``spec(name)`` and ``build(name)``; imported on use."""

ALIASES = {"lrl": "lrl-8"}
"""Plain name of a system -> the preset that ships."""

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ModelEntry:
    """One network of the zoo.

    Attributes:
        name: Preset name.
        spec: What it is and the stages around it.
        weights: The shipped checkpoint, ``None`` for presets that are defined but not trained.
        trained_on: What the weights were trained on, in one line; ``None`` without weights.
    """

    name: str
    spec: ModelSpec
    weights: Path | None
    trained_on: str | None

    def build(self) -> torch.nn.Module:
        """A new module with the architecture of this entry and untrained weights."""
        module: torch.nn.Module = _module(self.name).build(self.name)
        return module


def get(name: str) -> ModelEntry:
    """The entry called ``name`` (or an alias of one).

    Raises:
        UsageError: There is none; the message suggests the nearest name.
    """
    preset = ALIASES.get(name, name)
    if preset not in ENTRIES:
        known = [*ALIASES, *ENTRIES]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "expected path/to/net.py:factory or"
        raise UsageError(f"unknown model {name!r}; {hint} one of: {', '.join(known)}")
    weights = WEIGHTS / f"{preset}.safetensors"
    card = WEIGHTS / f"{preset}.json"
    trained_on = json.loads(card.read_text("utf-8"))["trained_on"] if card.is_file() else None
    return ModelEntry(
        name=preset,
        spec=_module(preset).spec(preset),
        weights=weights if weights.is_file() else None,
        trained_on=trained_on,
    )


def _module(preset: str) -> Any:
    return importlib.import_module(ENTRIES[preset])
