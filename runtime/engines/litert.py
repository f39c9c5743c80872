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
    refuse_placement,
)
from edgeexpo.silence import muted
from edgeexpo.spec import ModelSpec

_FAILURES = (RuntimeError, ValueError, MemoryError)
"""Exceptions that LiteRT's interpreter raises."""


class LitertEngine:
    """An engine for a ``.tflite`` file: LiteRT's interpreter."""

    name = "litert"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._runner: Any = None

    def load(self, path: Path) -> None:
        """Create the interpreter and its XNNPACK delegate.

        Raises:
            MissingDependencyError: LiteRT is not installed.
            EngineError: LiteRT refuses the file, or does not support the options.
        """
        refuse_placement(self._options, "LiteRT", "LiteRT plans its memory when it loads")
        try:
            self._runner = runner(path, self._options.threads)
        except _FAILURES as error:
            raise EngineError(f"LiteRT cannot load {path.name}: {first_line(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Invoke the interpreter once, from and to NCHW float32 by name.

        When the size of the inputs changes, LiteRT plans its memory again.

        Raises:
            EngineError: LiteRT failed, or the engine is closed.
        """
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
    """Return a function from inputs by name to outputs by name, made of a ``.tflite`` file.

    Args:
        path: The file.
        threads: Threads for one run; ``None`` leaves the choice to LiteRT.

    Raises:
        MissingDependencyError: LiteRT is not installed.
        EngineError: The file cannot be read.
        ValueError: The file is not a LiteRT model, or has no signature.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise missing("ai-edge-litert", "[litert-runtime]") from error
    model = in_memory(path)
    with muted():  # the delegate prints on stderr that it was created
        interpreter = Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner()
