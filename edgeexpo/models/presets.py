"""Presets of a network by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from edgeexpo.errors import UsageError

Shape = TypeVar("Shape")


def find(presets: Mapping[str, Shape], name: str) -> Shape:
    """What the preset called ``name`` is.

    Raises:
        UsageError: No preset has this name.
    """
    if name not in presets:
        raise UsageError(f"unknown preset {name!r}; expected one of {', '.join(presets)}")
    return presets[name]
