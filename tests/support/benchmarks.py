"""The scripts of ``benchmarks``, for tests of their functions."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def benchmark(name: str) -> dict[str, Any]:
    """Return what a script defines by name. It is read as a module and not run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        return runpy.run_path(str(FOLDER / f"{name}.py"), run_name=name)
