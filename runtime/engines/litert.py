"""LiteRT (formerly TensorFlow Lite) on the CPU, with its XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    closed,
    first_line,
    in_memory,
    missing,
)
from edgeexpo.silence import muted
from edgeexpo.spec import ModelSpec

_FAILURES = (RuntimeError, ValueError, MemoryError)
"""What LiteRT's interpreter raises."""


class LitertEngine:
    """Runs a ``.tflite`` file with LiteRT's interpreter."""

    name = "litert"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._runner: Any = None

    def load(self, path: Path) -> None:
        """Create the interpreter and its XNNPACK delegate."""
        if self._options.affinity is not None:
            raise EngineError(
                "LiteRT cannot choose CPUs for its threads; isolated=True restricts its process to "
                "them"
            )
        if not self._options.arena:
            raise EngineError("LiteRT plans its memory when it loads; leave arena=False out")
        try:
            self._runner = runner(path, self._options.threads)
        except _FAILURES as error:
            raise EngineError(f"LiteRT cannot load {path.name}: {first_line(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Invoke the interpreter once; memory is planned again when the size changes."""
        if self._runner is None:
            raise closed(self.name)
        try:
            outputs = self._runner(**inputs)
        except _FAILURES as error:
            raise EngineError(f"LiteRT failed: {first_line(error)}") from error
        return {name: outputs[name] for name in self._outputs if name in outputs}

    def close(self) -> None:
        """Free the interpreter."""
        self._runner = None


def runner(path: Path, threads: int | None = None) -> Any:
    """A function of the inputs by name that gives the outputs by name, of a ``.tflite`` file.

    Raises:
        MissingDependencyError: LiteRT is not installed.
        EngineError: The file cannot be read.
        ValueError: It is no LiteRT model, or one without a signature.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise missing("ai-edge-litert", "[litert-runtime]") from error
    model = in_memory(path)
    with muted():  # the delegate says on stderr that it was made
        interpreter = Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner()
