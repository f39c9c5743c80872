"""edgeexpo: exposure networks from the training desk to phones and drones, proven on pictures."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeexpo.parity import check_parity
    from edgeexpo.workflows.export import export_bundle

__version__ = "0.1.0"
__all__ = ["__version__", "check_parity", "export_bundle"]

_HOMES = {"check_parity": "edgeexpo.parity", "export_bundle": "edgeexpo.workflows.export"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
