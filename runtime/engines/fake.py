"""An engine made of a function, for tests of everything around an engine, an app's included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeexpo.runtime.engines.base import Arrays, closed


class FakeEngine:
    """Answers every run with ``function(inputs)``.

    Args:
        function: NCHW float32 by input name to NCHW float32 by output name.
        name: What the engine calls itself.

    Attributes:
        runs: Number of runs so far.
        path: What was loaded.
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
        """Call the function."""
        if self._closed:
            raise closed(self.name)
        self.runs += 1
        return self._function(inputs)

    def close(self) -> None:
        """Refuse runs from now on."""
        self._closed = True
