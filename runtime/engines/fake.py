"""An engine made of a function, for tests of the code around an engine, also in apps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeexpo.runtime.engines.base import Arrays, closed


class FakeEngine:
    """An engine that answers every run with ``function(inputs)``.

    Args:
        function: Function from NCHW float32 by input name to NCHW float32 by output name.
        name: Name of the engine.

    Attributes:
        runs: Number of runs so far.
        path: The path that was loaded, or ``None``.
    """

    def __init__(self, function: Callable[[Arrays], dict[str, np.ndarray]], name: str = "fake"):
        self.name = name
        self.runs = 0
        self.path: Path | None = None
        self._function = function
        self._closed = False

    def load(self, path: Path) -> None:
        """Remember the path."""
        self.path = path

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Call the function.

        Raises:
            EngineError: The engine is closed.
        """
        if self._closed:
            raise closed(self.name)
        self.runs += 1
        return self._function(inputs)

    def close(self) -> None:
        """Refuse runs from now on."""
        self._closed = True
