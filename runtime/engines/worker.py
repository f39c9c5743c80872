"""A process that runs an engine for another process, so that crashes and hangs stay inside it.

Requests and answers are lines of JSON: nonsense from a broken process can only fail to parse.
Arrays lie in shared memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime.engines.base import Arrays, EngineOptions
from edgeexpo.runtime.engines.shared_arrays import SharedArrays, checked_layout
from edgeexpo.spec import ModelSpec, to_json

OPENER = "edgeexpo.runtime.engines.base:open_engine_class"
"""Default opener: the function that opens an engine in the process, as ``module:function``."""

ENGINE_ERRORS = {kind.__name__: kind for kind in (EngineError, MissingDependencyError)}
"""Errors that an engine may raise and that its process survives, by name."""

_LONGEST_LINE = 1 << 20
"""Longest accepted answer, in bytes."""

_LONGEST_SPEECH = 1 << 16
"""Longest kept standard error of the process, in bytes."""

# multiprocessing's start method is not used: it runs the caller's script once more, and that script
# need not be guarded against it.
_BOOTSTRAP = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[2])
if affinity := json.loads(sys.argv[3]):
    os.sched_setaffinity(0, affinity)  # before any library starts a thread
from edgeexpo.runtime.engines.worker_process import serve_engine
serve_engine(*json.loads(sys.argv[1]))
"""


SUPPORTED = sys.platform != "win32"
"""Whether this system hands sockets and memory to another process as a :class:`Worker` needs."""


class LostError(EngineError):
    """The process cannot be used any more; ``reason`` is ``crash`` or ``hang``."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Worker:
    """A process that waits for requests to run an engine, and ends when this process ends.

    Args:
        affinity: CPUs on which the process stays; ``None`` keeps the CPUs of this process.

    Raises:
        EngineError: The system cannot start a process.
    """

    def __init__(self, affinity: tuple[int, ...] | None = None) -> None:
        if not SUPPORTED:
            raise EngineError(
                "an engine in a process of its own needs Linux or macOS; "
                "open the bundle without isolated=True"
            )
        self._owner, self._file = os.getpid(), ""
        self._ours = contextlib.ExitStack()
        try:
            self._start(affinity)
        except OSError as error:
            self._ours.close()
            raise EngineError(f"no process can be started: {error.strerror}") from error
        _workers.add(self)

    def _start(self, affinity: tuple[int, ...] | None) -> None:
        keep = self._ours.enter_context
        with contextlib.ExitStack() as theirs:
            ours, other = socket.socketpair()
            self._socket = keep(ours)
            theirs.enter_context(other)
            watched, held = os.pipe()
            theirs.callback(os.close, watched)
            # The system closes this end when this process ends; the other process then ends, too.
            keep(os.fdopen(held, "wb"))
            self._inputs, self._outputs = (keep(contextlib.closing(SharedArrays())) for _ in "io")
            self._said = keep(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            shared = (self._inputs.descriptor, self._outputs.descriptor)
            given = (other.fileno(), watched, *shared)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP, *map(json.dumps, (given, sys.path, affinity))],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
            )

    @property
    def alive(self) -> bool:
        """Whether the process can still be asked."""
        return self._process.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether somebody else ended the process: a person, or a system without memory."""
        return self._process.poll() == -signal.SIGKILL

    @property
    def pid(self) -> int:
        """Identifier of the process."""
        return self._process.pid

    def load(
        self,
        engine: str,
        path: Path,
        spec: ModelSpec,
        options: EngineOptions,
        limit: float,
        opener: str = OPENER,
    ) -> str:
        """Open an engine in the process, by ``opener(engine, path, spec, options)``.

        Args:
            engine: The engine's class, ``module:Class``, or whatever ``opener`` knows. The process
                need not know the target that the engine belongs to.
            path: The artefact.
            spec: The model.
            options: Threads and memory; the process's CPUs were chosen at its start.
            limit: Time limit in seconds.
            opener: The function that opens the engine, as ``module:function``.

        Returns:
            The engine's name.

        Raises:
            EngineError, MissingDependencyError: As ``opener`` does.
            LostError: The process crashed or exceeded the time limit.
        """
        self._file = path.name
        request = {
            "verb": "load",
            "opener": opener,
            "engine": engine,
            "path": str(path.resolve()),
            "spec": to_json(spec),
            "options": to_json(options),
        }
        return str(self._ask(request, limit).get("name"))

    def run(self, inputs: Arrays, limit: float) -> dict[str, np.ndarray]:
        """Run the engine once: NCHW float32 by input name to NCHW float32 by output name.

        Args:
            inputs: The inputs by name.
            limit: Time limit in seconds.

        Raises:
            EngineError, LostError: As :meth:`load`.
        """
        layout = self._inputs.write(inputs)
        answer = self._ask({"verb": "run", "layout": layout}, limit)
        try:
            views = self._outputs.views(checked_layout(answer["layout"]))
        except (KeyError, ValueError, OverflowError, OSError) as error:
            raise self._nonsense() from error
        # The next run overwrites the views.
        return {name: view.copy() for name, view in views.items()}

    def close(self, limit: float) -> None:
        """Free the engine; the process waits for the next one. Raises as :meth:`load` does."""
        self._ask({"verb": "close"}, limit)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        else:  # in a fork: the process belongs to the parent
            self._process.returncode = 0
        self._ours.close()

    def _ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        deadline = time.monotonic() + limit
        try:
            self._socket.settimeout(limit)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(self._line(deadline))
            kind, message = answer.get("error"), str(answer.get("message"))
        except TimeoutError as error:
            raise LostError(
                f"{self._file} hangs its engine: no answer to {request['verb']} within {limit:g} "
                "s; its process was ended",
                "hang",
            ) from error
        except (OSError, EOFError) as error:
            raise LostError(
                f"{self._file} crashes its engine: {self._obituary()}", "crash"
            ) from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise self._nonsense() from error
        self._forget_speech()
        if kind is not None:
            raise ENGINE_ERRORS.get(str(kind), EngineError)(message)
        return dict(answer)

    def _line(self, deadline: float) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            part = self._socket.recv(1 << 16)
            if not part:
                raise EOFError
            line += part
            if len(line) > _LONGEST_LINE:
                raise ValueError("an endless line")
        return bytes(line)

    def _nonsense(self) -> LostError:
        return LostError(
            f"{self._file} breaks its engine: its process gives an invalid answer", "crash"
        )

    def _obituary(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "its process does not answer any more"
        said = self._speech()
        reason = f"; {said[-1][:240]}" if said and code > 0 else ""
        names = {-number: number.name for number in signal.Signals}
        return f"its process ended with {names.get(code, f'exit code {code}')}{reason}"

    def _speech(self) -> list[str]:
        """Return the last lines of the process's standard error."""
        with open(self._said.fileno(), "rb", closefd=False) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LONGEST_SPEECH))
            return stream.read().decode(errors="replace").strip().splitlines()

    def _forget_speech(self) -> None:
        # An engine that prints a warning for every frame must not fill the disk.
        descriptor = self._said.fileno()
        if os.fstat(descriptor).st_size > _LONGEST_SPEECH:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)  # the process shares this position


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
"""Workers of this process, which a fork must forget."""


def _let_go() -> None:
    """Forget the parent's worker processes in a fork, and do not keep them alive."""
    for worker in list(_workers):
        worker.end()
    _workers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_let_go)
