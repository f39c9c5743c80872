"""A process that runs an engine for another: what crashes or hangs there stays there.

Requests and answers are lines of JSON, so that nothing a broken process says can do more than
fail to parse; arrays lie in shared memory.
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

OPENER = "edgeexpo.runtime.engines.base:open_engine"
"""What opens an engine in the process, unless told otherwise."""

ENGINE_ERRORS = {kind.__name__: kind for kind in (EngineError, MissingDependencyError)}
"""What an engine may raise and its process survives."""

_LONGEST_LINE = 1 << 20
_LONGEST_SPEECH = 1 << 16
# Not multiprocessing's own start: that runs the caller's script once more, which need not guard it.
_BOOTSTRAP = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[2])
if affinity := json.loads(sys.argv[3]):
    os.sched_setaffinity(0, affinity)  # before any library starts a thread
from edgeexpo.runtime.engines.worker_process import serve_engine
serve_engine(*json.loads(sys.argv[1]))
"""


class LostError(EngineError):
    """The process is of no more use; ``reason`` is ``crash`` or ``hang``."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Worker:
    """A process that waits for an engine to serve, and ends with this one.

    Args:
        affinity: CPUs that it stays on; ``None`` for those of this process.

    Raises:
        EngineError: The system starts no process.
    """

    def __init__(self, affinity: tuple[int, ...] | None = None) -> None:
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
            # Closed by the system when this process ends: then the other one ends, too.
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
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def load(
        self,
        target: str,
        path: Path,
        spec: ModelSpec,
        options: EngineOptions,
        limit: float,
        opener: str = OPENER,
    ) -> str:
        """Open an engine in the process, by ``opener(target, path, spec, options)``.

        Args:
            target: One of :data:`edgeexpo.spec.TARGETS`, or whatever ``opener`` knows.
            path: The artefact.
            spec: The model.
            options: Threads and memory; CPUs are the process's own matter.
            limit: Seconds that it may take.
            opener: ``module:function``.

        Returns:
            The engine's name.

        Raises:
            EngineError, MissingDependencyError: As ``opener`` does.
            LostError: It crashed or took too long.
        """
        self._file = path.name
        request = {
            "verb": "load",
            "opener": opener,
            "target": target,
            "path": str(path.resolve()),
            "spec": to_json(spec),
            "options": to_json(options),
        }
        return str(self._ask(request, limit).get("name"))

    def run(self, inputs: Arrays, limit: float) -> dict[str, np.ndarray]:
        """Run the engine once, within ``limit`` seconds; raises as :meth:`load`."""
        layout = self._inputs.write(inputs)
        answer = self._ask({"verb": "run", "layout": layout}, limit)
        try:
            views = self._outputs.views(checked_layout(answer["layout"]))
        except (KeyError, ValueError, OverflowError, OSError) as error:
            raise self._nonsense() from error
        # The next run overwrites them.
        return {name: view.copy() for name, view in views.items()}

    def close(self, limit: float) -> None:
        """Free the engine and wait for the next one; raises as :meth:`load`."""
        self._ask({"verb": "close"}, limit)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        else:  # a fork: the process is the other one's
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
        return LostError(f"{self._file} breaks its engine: its process answers nonsense", "crash")

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
        """The last lines that the process wrote on its standard error."""
        with open(self._said.fileno(), "rb", closefd=False) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LONGEST_SPEECH))
            return stream.read().decode(errors="replace").strip().splitlines()

    def _forget_speech(self) -> None:
        # An engine that complains of every frame must not fill the disk.
        descriptor = self._said.fileno()
        if os.fstat(descriptor).st_size > _LONGEST_SPEECH:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)  # where the process, which shares it, goes on


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def _let_go() -> None:
    """In a fork: leave the processes to the one that started them, and do not keep them alive."""
    for worker in list(_workers):
        worker.end()
    _workers.clear()


os.register_at_fork(after_in_child=_let_go)
