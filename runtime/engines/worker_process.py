"""The code that runs in the process of a :class:`edgeexpo.runtime.engines.worker.Worker`."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
from pathlib import Path
from typing import Any

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime.engines.base import Engine, EngineOptions, promised
from edgeexpo.runtime.engines.shared_arrays import SharedArrays
from edgeexpo.spec import ModelSpec, from_json
from edgeexpo.targets import resolve

serving = False
"""Whether this process only runs an engine for another process."""


def serve_engine(descriptor: int, lifeline: int, inputs: int, outputs: int) -> None:
    """Answer requests until the other process closes its end of the socket.

    Args:
        descriptor: Descriptor of the socket.
        lifeline: Descriptor of a pipe. The other process holds it open while it lives, and never
            writes to it.
        inputs, outputs: Descriptors of the shared memory of the inputs and of the outputs.
    """
    global serving
    serving = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process handles Ctrl-C
    end_with(lifeline)
    server = _Server(SharedArrays(inputs), SharedArrays(outputs))
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
        for line in stream:
            stream.write(json.dumps(server.answer(json.loads(line))).encode() + b"\n")
            stream.flush()


class _Server:
    def __init__(self, inputs: SharedArrays, outputs: SharedArrays) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._engine: Engine | None = None
        self._spec: ModelSpec | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what the request asks; an error that an engine raises on purpose is also an answer."""
        try:
            if request["verb"] == "load":
                return {"name": self._load(request)}
            if self._engine is None or self._spec is None:
                raise EngineError("no engine is open")
            if request["verb"] == "run":
                inputs = self._inputs.views(request["layout"])
                outputs = promised(self._engine.run(inputs), self._spec, inputs)
                return {"layout": self._outputs.write(outputs)}
            self._engine.close()
            self._engine = None
            return {}
        except (EngineError, MissingDependencyError) as error:
            return {"error": type(error).__name__, "message": str(error)}

    def _load(self, request: dict[str, Any]) -> str:
        opener = resolve(request["opener"])
        self._spec = from_json(ModelSpec, request["spec"])
        engine: Engine = opener(
            request["engine"],
            Path(request["path"]),
            self._spec,
            from_json(EngineOptions, request["options"]),
        )
        self._engine = engine
        return engine.name


def end_with(lifeline: int) -> None:
    """Make this process end when the other end of a pipe is closed, whatever it is doing then."""
    import fcntl  # Windows has no such module

    if hasattr(fcntl, "F_SETSIG"):  # Linux: the kernel does it, even where no thread could run
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    else:
        threading.Thread(target=_wait_and_end, args=(lifeline,), daemon=True).start()
    if select.select([lifeline], [], [], 0)[0]:  # the pipe was closed before
        os._exit(1)


def _wait_and_end(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
