"""A worker in this process, for systems that cannot share memory with another, such as Windows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime.engines.base import Arrays, Engine, EngineOptions, first_line, promised
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import resolve


class InProcessWorker:
    """An engine in this process, with the methods of a worker process.

    The methods are those of :class:`edgeexpo.runtime.engines.worker.Worker`. This worker does not
    survive a native crash of the engine. It cannot end an engine that hangs, so it accepts time
    limits and does not use them.
    """

    alive = True
    """True if the worker can answer. It always can, since it ends only with this process."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._spec: ModelSpec | None = None
        self._file = ""

    def load(
        self,
        engine: str,
        path: Path,
        spec: ModelSpec,
        options: EngineOptions,
        limit: float,
        opener: str,
    ) -> str:
        """Open an engine by ``opener(engine, path, spec, options)`` and return its name.

        Raises:
            EngineError: The engine refuses the artefact, or raises an undeclared error.
            MissingDependencyError: The engine is not installed.
        """
        self._file = path.name
        with self._crashes_told():
            opened: Engine = resolve(opener)(engine, path, spec, options)
        self._engine, self._spec = opened, spec
        return opened.name

    def run(self, inputs: Arrays, limit: float) -> dict[str, np.ndarray]:
        """Run the engine once. Errors are those of :meth:`load`."""
        if self._engine is None or self._spec is None:
            raise EngineError("no engine is open; load an artefact first")
        with self._crashes_told():
            outputs = promised(self._engine.run(inputs), self._spec, inputs)
        return {name: np.array(output, np.float32) for name, output in outputs.items()}

    def close(self, limit: float) -> None:
        """Free the engine and wait for the next one. Errors are those of :meth:`load`."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with self._crashes_told():
                engine.close()

    def end(self) -> None:
        """Drop the engine. Its memory is freed with the last reference."""
        self._engine = None

    @contextlib.contextmanager
    def _crashes_told(self) -> Iterator[None]:
        try:
            yield
        except (EngineError, MissingDependencyError):
            raise
        except Exception as error:  # A worker's process would end by it.
            raise EngineError(
                f"{self._file} crashes its engine: {type(error).__name__}: {first_line(error)}"
            ) from error
