"""edgeexpo brings exposure networks from training to phones and drones, proven on pictures.

Every verb of the command line is a function here. A function is imported when it is first used, so
that ``import edgeexpo`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeexpo.parity.check import check_parity
    from edgeexpo.workflows.bench import bench
    from edgeexpo.workflows.debug import debug
    from edgeexpo.workflows.evaluate import evaluate
    from edgeexpo.workflows.export import export_bundle
    from edgeexpo.workflows.inspect import inspect
    from edgeexpo.workflows.plan_export import plan_export
    from edgeexpo.workflows.prune import prune
    from edgeexpo.workflows.quantize import quantize
    from edgeexpo.workflows.sensitivity import sensitivity
    from edgeexpo.workflows.train import train
    from edgeexpo.workflows.tune import tune

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "bench",
    "check_parity",
    "debug",
    "evaluate",
    "export_bundle",
    "inspect",
    "plan_export",
    "prune",
    "quantize",
    "sensitivity",
    "train",
    "tune",
]

_HOMES = {
    "bench": "edgeexpo.workflows.bench",
    "check_parity": "edgeexpo.parity.check",
    "debug": "edgeexpo.workflows.debug",
    "evaluate": "edgeexpo.workflows.evaluate",
    "export_bundle": "edgeexpo.workflows.export",
    "inspect": "edgeexpo.workflows.inspect",
    "plan_export": "edgeexpo.workflows.plan_export",
    "prune": "edgeexpo.workflows.prune",
    "quantize": "edgeexpo.workflows.quantize",
    "sensitivity": "edgeexpo.workflows.sensitivity",
    "train": "edgeexpo.workflows.train",
    "tune": "edgeexpo.workflows.tune",
}
"""Module of each public function, by the function's name."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
