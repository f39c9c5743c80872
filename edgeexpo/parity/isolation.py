"""Engines in a process of their own: one that crashes or hangs loses its verdict, not the lab's.

A process serves one engine at a time and is kept for the next one, since starting it costs the
import of the engine. One that failed is thrown away. Arrays travel as raw bytes through a socket.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.memory import keep_freed_memory
from edgeexpo.runtime import engine as engines
from edgeexpo.runtime.engine import Arrays, Engine
from edgeexpo.spec import ModelSpec

TIME_LIMIT = 300.0
"""Seconds that loading an artefact, or one run of it, may take before its process is ended."""

_ERRORS = {kind.__name__: kind for kind in (EngineError, MissingDependencyError)}
# Not multiprocessing's own start: that runs the caller's script once more, which need not guard it.
_BOOTSTRAP = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from edgeexpo.parity.isolation import serve
serve(int(sys.argv[1]))
"""
_idle: list[Worker] = []


def open_engine(
    target: str,
    path: Path,
    spec: ModelSpec,
    threads: int | None = None,
    limit: float | None = None,
) -> Engine:
    """Load an artefact for verification, as :func:`verification_engine`, in another process.

    Args:
        target: One of :data:`edgeexpo.spec.TARGETS`.
        path: The artefact, already checked against its digest.
        spec: The model.
        threads: Threads for one run; ``None`` leaves the choice to the engine.
        limit: Seconds after which a load or a run counts as hanging; :data:`TIME_LIMIT` by default.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, crashes or hangs.
    """
    engine = IsolatedEngine(_worker(), path.name, TIME_LIMIT if limit is None else limit)
    engine.open(target, path, spec, threads)
    return engine


def _worker() -> Worker:
    while _idle:
        worker = _idle.pop()
        if worker.alive:
            return worker
        worker.end()
    return Worker()


def verification_engine(
    target: str, path: Path, spec: ModelSpec, threads: int | None = None
) -> Engine:
    """The engine that verifies ``target`` on this host: off macOS, Core ML is interpreted."""
    if target == "coreml" and sys.platform != "darwin":
        from edgeexpo.parity.mil.interpreter import MilEngine

        interpreter: Engine = MilEngine(spec)
        interpreter.load(path)
        return interpreter
    return engines.open_engine(target, path, spec, threads)


class IsolatedEngine:
    """An engine that lives in a :class:`Worker`; see :class:`edgeexpo.runtime.engine.Engine`."""

    def __init__(self, worker: Worker, file: str, limit: float) -> None:
        self.name = "isolated"
        self._worker: Worker | None = worker
        self._file = file
        self._limit = limit

    def load(self, path: Path) -> None:
        """Refused: :func:`open_engine` has loaded it."""
        raise EngineError(f"{self._file} is loaded; open another engine for {path}")

    def open(self, target: str, path: Path, spec: ModelSpec, threads: int | None) -> None:
        """Load the artefact and take the name of the engine that did."""
        self.name = str(self._ask("load", (target, str(path.resolve()), spec, threads)))

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run once: NCHW float32 by input name to NCHW float32 by output name."""
        result: dict[str, np.ndarray] = self._ask("run", None, inputs)
        return result

    def close(self) -> None:
        """Free the engine and leave its process to the next one."""
        if self._worker is not None:
            worker = self._worker
            # What it computed stands, even where it does not survive the end of it.
            with contextlib.suppress(EngineError):
                self._ask("close", None)
                _idle.append(worker)
            self._worker = None

    def _ask(self, verb: str, facts: Any, arrays: Arrays | None = None) -> Any:
        if self._worker is None:
            raise engines.closed(self.name)
        try:
            return self._worker.ask(verb, facts, arrays, self._limit, self._file)
        except BaseException:  # an interrupt, too, leaves an engine that may hang
            self._worker.end()
            self._worker = None
            raise


class Worker:
    """A process that waits for an engine to serve."""

    def __init__(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), json.dumps(sys.path)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process can still be asked."""
        return self._process.poll() is None

    def ask(self, verb: str, facts: Any, arrays: Arrays | None, limit: float, file: str) -> Any:
        """Send one request and wait for its answer.

        Raises:
            EngineError: The engine failed, its process ended, or ``limit`` seconds have passed.
            MissingDependencyError: The engine is not installed.
        """
        try:
            self._connection.send((verb, facts))
            if arrays is not None:
                send_arrays(self._connection, arrays)
            if not self._connection.poll(limit):
                raise EngineError(
                    f"{file} hangs its engine: no answer to {verb} within {limit:g} s; "
                    "its process was ended"
                )
            error, answer = self._connection.recv()
            if error is not None:
                raise _ERRORS[error](answer)
            return receive_arrays(self._connection) if verb == "run" else answer
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise EngineError(f"{file} crashes its engine: {self._obituary()}") from error

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        self._said.close()

    def _obituary(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        reason = f"; {said[-1][:240]}" if said and code > 0 else ""
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended with {name}{reason}"


def send_arrays(connection: Connection, arrays: Arrays) -> None:
    """Send float32 arrays by name: their names and shapes, then the bytes of each."""
    solid = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}
    connection.send([(name, array.shape) for name, array in solid.items()])
    for array in solid.values():
        connection.send_bytes(array.data.cast("B"))


def receive_arrays(connection: Connection) -> dict[str, np.ndarray]:
    """What :func:`send_arrays` sent at the other end."""
    arrays = {}
    for name, shape in connection.recv():
        arrays[name] = np.empty(shape, np.float32)
        connection.recv_bytes_into(arrays[name].data.cast("B"))
    return arrays


def serve(descriptor: int) -> None:
    """Answer requests until the other end is closed: what the process runs."""
    keep_freed_memory()
    connection = Connection(descriptor)
    engine: Engine | None = None
    spec: ModelSpec | None = None
    while True:
        try:
            verb, facts = connection.recv()
            inputs = receive_arrays(connection) if verb == "run" else {}
        except EOFError:
            return
        answer: str | None = None
        outputs: Mapping[str, np.ndarray] = {}
        try:
            if verb == "load":
                target, path, spec, threads = facts
                engine = verification_engine(target, Path(path), spec, threads)
                answer = engine.name
            elif verb == "run" and engine is not None and spec is not None:
                outputs = as_promised(engine.run(inputs), spec)
            elif verb == "close" and engine is not None:
                engine.close()
                engine = None
        except (EngineError, MissingDependencyError) as error:
            connection.send((type(error).__name__, str(error)))
            continue
        connection.send((None, answer))
        if verb == "run":
            send_arrays(connection, outputs)


def as_promised(outputs: Arrays, spec: ModelSpec) -> Arrays:
    """``outputs``, if they have the names and the shapes that the manifest promises.

    Raises:
        EngineError: An output is missing, or is not 1xCxHxW with the channels of its spec.
    """
    for tensor in spec.outputs:
        if tensor.name not in outputs:
            found = ", ".join(outputs) or "none"
            raise EngineError(
                f"the artefact has no output {tensor.name!r}, which its manifest promises; found "
                f"{found}: export the bundle again"
            )
        shape = outputs[tensor.name].shape
        if len(shape) != 4 or shape[:2] != (1, tensor.channels):
            raise EngineError(
                f"output {tensor.name!r} is {'x'.join(map(str, shape))}; its manifest promises "
                f"1x{tensor.channels}xHxW: export the bundle again"
            )
    return outputs


@atexit.register
def end_idle() -> None:
    """End the processes that wait for the next engine; done at exit."""
    while _idle:
        _idle.pop().end()


if hasattr(os, "register_at_fork"):
    # A fork shares the sockets; two processes must not talk to one worker.
    os.register_at_fork(after_in_child=_idle.clear)
