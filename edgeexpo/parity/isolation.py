"""Engines in a process of their own: one that crashes or hangs loses its verdict, not the lab's.

A process serves one engine at a time and is kept for the next one, since starting it costs the
import of the engine. One that failed is thrown away.
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
from edgeexpo.targets import target_named

TIME_LIMIT = 300.0
"""Seconds that loading an artefact, or one run of it, may take before its process is ended."""

_OPENER = "edgeexpo.parity.isolation:open_there"
_idle: list[Worker | InProcessWorker] = []


def open_lab_engine(
    target: str,
    path: Path,
    spec: ModelSpec,
    options: EngineOptions = DEFAULTS,
    limit: float | None = None,
) -> Engine:
    """Load an artefact for verification in another process.

    The engine is that of :func:`edgeexpo.runtime.engines.base.open_for_verification`.

    Args:
        target: One of :data:`edgeexpo.targets.TARGETS`.
        path: The artefact, already checked against its digest.
        spec: The model.
        options: Threads and memory.
        limit: Seconds after which a load or a run counts as hanging; :data:`TIME_LIMIT` by default.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, crashes or hangs.
    """
    limit = TIME_LIMIT if limit is None else limit
    verifier = target_named(target).verifier.engine
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
    """Load an artefact into an engine, ``module:Class``; this runs in the other process."""
    keep_freed_memory()
    return engines.open_engine_class(engine, path, spec, options)


class LabEngine:
    """An engine that lives in a :class:`Worker` of the lab."""

    def __init__(self, worker: Worker | InProcessWorker, name: str, limit: float) -> None:
        self.name = name
        self._worker: Worker | InProcessWorker | None = worker
        self._limit = limit

    def load(self, path: Path) -> None:
        """Refused: :func:`open_lab_engine` has loaded it."""
        raise EngineError(f"{self.name} is loaded; open another engine for {path}")

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run once: NCHW float32 by input name to NCHW float32 by output name."""
        if self._worker is None:
            raise engines.closed(self.name)
        worker, self._worker = self._worker, None
        with _ended_by_errors(worker):
            outputs = worker.run(inputs, self._limit)
        self._worker = worker
        return outputs

    def close(self) -> None:
        """Free the engine and leave its process to the next one."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            # What it computed stands, even where it does not survive the end of it.
            with contextlib.suppress(EngineError), _ended_by_errors(worker):
                worker.close(self._limit)
                _idle.append(worker)


@contextlib.contextmanager
def _ended_by_errors(worker: Worker | InProcessWorker) -> Iterator[None]:
    try:
        yield
    except BaseException:  # an interrupt, too, leaves an engine that may hang
        worker.end()
        raise


@atexit.register
def end_idle() -> None:
    """End the processes that wait for the next engine; done at exit."""
    while _idle:
        _idle.pop().end()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_idle.clear)
