"""Engines for verification in separate processes.

If an engine crashes or hangs, only its own artefact fails, and the check continues. A process
serves one engine at a time. It is kept for the next engine, since a new process has to import the
engine again. A process that failed is ended.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeexpo.allocator import keep_freed_memory
from edgeexpo.errors import EngineError
from edgeexpo.parity.in_process import InProcessWorker
from edgeexpo.runtime.engines import base as engines
from edgeexpo.runtime.engines.base import DEFAULTS, Arrays, Engine, EngineOptions
from edgeexpo.runtime.engines.worker import SUPPORTED, Worker
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import Runner, target_named

TIME_LIMIT = 300.0
"""Time limit in seconds for the load of an artefact, and for each of its runs.

A process that takes longer is ended.
"""

_OPENER = "edgeexpo.parity.isolation:open_there"
_idle: list[Worker | InProcessWorker] = []


def open_lab_engine(
    target: str,
    path: Path,
    spec: ModelSpec,
    options: EngineOptions = DEFAULTS,
    limit: float | None = None,
    runner: Runner | None = None,
) -> Engine:
    """Load an artefact for verification in another process.

    The engine is that of :func:`edgeexpo.runtime.engines.base.open_for_verification`, unless
    ``runner`` names another one.

    Args:
        target: Name of a target in :data:`edgeexpo.targets.TARGETS`.
        path: Path of the artefact, already checked against its digest.
        spec: The model.
        options: Threads, CPUs and memory.
        limit: Seconds after which a load or a run counts as hanging. By default,
            :data:`TIME_LIMIT`.
        runner: Another engine of the target.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, crashes or hangs.
    """
    limit = TIME_LIMIT if limit is None else limit
    verifier = (runner or target_named(target).verifier).engine
    worker = _worker()
    with _ended_by_errors(worker):
        name = worker.load(verifier, path, spec, options, limit, _OPENER)
    return LabEngine(worker, name, limit)


def _worker() -> Worker | InProcessWorker:
    while _idle:
        worker = _idle.pop()
        if worker.alive:
            return worker
        worker.end()
    return Worker() if SUPPORTED else InProcessWorker()


def open_there(
    engine: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load an artefact into an engine, in the process that runs the engine.

    Args:
        engine: Class of the engine, as ``module:Class``.
        path: Path of the artefact, already checked against its digest.
        spec: The model.
        options: Threads, CPUs and memory.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or does not support the options.
    """
    keep_freed_memory()
    return engines.open_engine_class(engine, path, spec, options)


class LabEngine:
    """An engine for verification that runs in a :class:`Worker`."""

    def __init__(self, worker: Worker | InProcessWorker, name: str, limit: float) -> None:
        self.name = name
        self._worker: Worker | InProcessWorker | None = worker
        self._limit = limit

    def load(self, path: Path) -> None:
        """Refuse another artefact, because :func:`open_lab_engine` has loaded one.

        Raises:
            EngineError: Always.
        """
        raise EngineError(f"{self.name} is loaded; open another engine for {path}")

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the artefact once.

        Args:
            inputs: NCHW float32 by input name.

        Returns:
            NCHW float32 by output name.

        Raises:
            EngineError: The engine fails, crashes, hangs or is closed.
        """
        if self._worker is None:
            raise engines.closed(self.name)
        worker, self._worker = self._worker, None
        with _ended_by_errors(worker):
            outputs = worker.run(inputs, self._limit)
        self._worker = worker
        return outputs

    def close(self) -> None:
        """Free the engine and keep its process for the next engine."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            # The computed outputs stay valid, even if the engine fails while it is closed.
            with contextlib.suppress(EngineError), _ended_by_errors(worker):
                worker.close(self._limit)
                _idle.append(worker)


@contextlib.contextmanager
def _ended_by_errors(worker: Worker | InProcessWorker) -> Iterator[None]:
    try:
        yield
    except BaseException:  # An interrupt, too, leaves an engine that may hang.
        worker.end()
        raise


@atexit.register
def end_idle() -> None:
    """End the processes that wait for the next engine. Python calls this function at exit."""
    while _idle:
        _idle.pop().end()


if hasattr(os, "register_at_fork"):  # Windows has no forks.
    os.register_at_fork(after_in_child=_idle.clear)
