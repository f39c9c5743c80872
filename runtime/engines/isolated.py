"""An engine in its own process, which is started again when it dies or hangs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeexpo.bundle.files import digest
from edgeexpo.errors import EngineError, UsageError
from edgeexpo.runtime.engines.base import DEFAULTS, Arrays, EngineOptions, check_cpus, closed
from edgeexpo.runtime.engines.worker import OPENER, LostError, Worker
from edgeexpo.spec import ModelSpec

LOAD_LIMIT = 60.0
"""Seconds that starting a process and loading an artefact may take."""

RUN_LIMIT = 10.0
"""Seconds that one run may take by default."""


def _unheard(_: str) -> None:
    """Ignore a restart; it is the listener of a caller who asks for none."""


class IsolatedEngine:
    """An engine whose process may die or hang without harm to the caller.

    If a run kills its engine or exceeds the time limit, it is tried once more in a new process. If
    the second try fails, too, the caller gets an error. The next run then starts another process.

    Args:
        engine: The engine's class, ``module:Class``, or whatever ``opener`` knows.
        spec: The model.
        options: Threads, CPUs and memory; the whole process stays on the CPUs.
        timeout_s: Seconds that one run may take; :data:`RUN_LIMIT` by default.
        restarted: Function that is called before the process is started again, with the reason:
            ``crash``, ``hang`` or ``interrupt``.
        opener: Function that opens the engine in the process, as ``module:function``. It takes the
            arguments of :func:`edgeexpo.runtime.engines.base.open_engine_class`.

    Raises:
        UsageError: ``timeout_s`` is not a positive, finite number.
    """

    def __init__(
        self,
        engine: str,
        spec: ModelSpec,
        options: EngineOptions = DEFAULTS,
        timeout_s: float | None = None,
        restarted: Callable[[str], object] = _unheard,
        opener: str = OPENER,
    ) -> None:
        self.name = "isolated"
        self._limit = RUN_LIMIT if timeout_s is None else timeout_s
        if not 0 < self._limit < math.inf:
            raise UsageError(f"timeout_s is {timeout_s}; expected seconds, more than 0")
        self._engine, self._spec, self._options = engine, spec, options
        self._restarted, self._opener = restarted, opener
        self._path: Path | None = None
        self._sha256 = ""
        self._worker: Worker | None = None
        self._ended = ""

    def load(self, path: Path) -> None:
        """Start a process and load the artefact in it; ``name`` becomes the name of its engine.

        Raises:
            MissingDependencyError: The engine is not installed or does not run on this host.
            EngineError: The engine refuses the artefact or the options, or its process failed.
        """
        self.close()
        if self._options.affinity is not None:
            check_cpus(self._options.affinity)
        self._sha256 = _digest(path)
        self._worker = self._started(path)
        self._path = path

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run once: NCHW float32 by input name to NCHW float32 by output name.

        Raises:
            EngineError: The engine refused the inputs, two tries failed, or the engine is closed.
        """
        try:
            return self._attempt(inputs)
        except LostError:
            pass
        try:
            return self._attempt(inputs)
        except LostError as again:
            raise EngineError(
                f"{again}; a second try failed as well: the next frame starts the engine again"
            ) from again

    def close(self) -> None:
        """End the process; a second call is harmless."""
        self._path = None
        if self._worker is not None:
            worker, self._worker = self._worker, None
            worker.end()

    def _attempt(self, inputs: Arrays) -> dict[str, np.ndarray]:
        if self._path is None:
            raise closed(self.name)
        if (worker := self._worker) is None:
            self._restarted(self._ended)
            self._check_unchanged(self._path)
            worker = self._started(self._path)
        self._worker, self._ended = None, "interrupt"
        try:
            outputs = worker.run(inputs, self._limit)
            self._worker = worker
        except LostError as lost:
            self._ended = lost.reason
            raise
        except EngineError:  # the engine refused the inputs; its process goes on
            self._worker = worker
            raise
        finally:
            if self._worker is None:
                worker.end()
        return outputs

    def _check_unchanged(self, path: Path) -> None:
        if _digest(path) != self._sha256:
            raise EngineError(
                f"{path} was changed since it was loaded and cannot be loaded again; "
                "load the bundle again"
            )

    def _started(self, path: Path) -> Worker:
        worker = Worker(self._options.affinity)
        try:
            facts = (self._engine, path, self._spec, replace(self._options, affinity=None))
            self.name = worker.load(*facts, LOAD_LIMIT, self._opener)
        except BaseException:
            worker.end()
            raise
        return worker


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from error
