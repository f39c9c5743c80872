"""The parity check: proof that an artefact shows the same pictures as the reference."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeexpo.parity.check import check_parity
    from edgeexpo.parity.verdict import ArtifactParity, ParityReport

__all__ = ["ArtifactParity", "ParityReport", "check_parity"]

_HOMES = {"ArtifactParity": "verdict", "ParityReport": "verdict", "check_parity": "check"}


def __getattr__(name: str) -> Any:
    # Modules are imported on use: an engine's process and the pytest plugin need no torch.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
