"""The program on the other machine: it answers requests and runs engines in processes of their own.

This process runs no engine itself. It therefore always notices that its input was closed, and then
ends with all that it started. An engine's process ends with this one, whatever it is doing.
"""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from edgeexpo.allocator import keep_freed_memory
from edgeexpo.errors import EdgeexpoError, EngineError, MissingDependencyError
from edgeexpo.remote.facts import facts
from edgeexpo.remote.framing import (
    LONGEST_LINE,
    Message,
    array_parts,
    arrays_of,
    framed,
    parsed,
)
from edgeexpo.remote.installing import InstallError, install
from edgeexpo.remote.store import Store

SILENCE = 60.0
"""Seconds without a word from the other side after which this process ends."""

STOPPED = "stopped"
"""Kind of the error for an engine's process that somebody else ended."""

OPENER = "edgeexpo.remote.serving:open_there"
"""Function that opens an engine in its process, as ``module:function``."""

_TIMING = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from edgeexpo.runtime.engines.worker_process import end_with
from edgeexpo.targets import resolve
end_with(int(sys.argv[2]))
sys.exit(resolve(sys.argv[3])())
"""


_TAPS = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from edgeexpo.remote.taps import serve_taps
serve_taps(json.loads(sys.argv[2]), json.loads(sys.argv[3]))
"""


def serve(stdin: IO[bytes], answers: IO[bytes], folder: str) -> None:
    """Answer requests until the input is closed, or silent for :data:`SILENCE` seconds.

    Args:
        stdin: The input.
        answers: The output.
        folder: The cache folder.
    """
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    server = _Server(Path(folder))
    listener = _Listener(stdin, _end)
    for task in (listener.listen, listener.watch):
        threading.Thread(target=task, daemon=True).start()
    try:
        while True:
            for part in server.answer(*listener.requests.get()):
                answers.write(part)
            answers.flush()
    except OSError:  # nobody listens any more
        pass
    finally:
        _end()


def _end() -> None:
    # The whole group: a library may have forked. OpenVINO 2026.4's telemetry does, and its fork
    # can wait for ever for a lock that another thread held.
    os.killpg(0, signal.SIGKILL)


class _Listener:
    """Reads messages in a thread of its own, so that the end of the input is noticed at once.

    Args:
        stdin: The input.
        end: Function that ends this process.
    """

    def __init__(self, stdin: IO[bytes], end: Callable[[], None]) -> None:
        self._stdin, self._end = stdin, end
        self._heard = time.monotonic()
        self.requests: queue.Queue[tuple[Message, bytes]] = queue.Queue()

    def listen(self) -> None:
        """Read messages until the input is closed or invalid, then end the process."""
        try:
            while line := self._stdin.readline(LONGEST_LINE):
                message, size = parsed(line)
                payload = self._read(size)
                self._heard = time.monotonic()
                if message.get("verb") != "alive":
                    self.requests.put((message, payload))
        except (OSError, ValueError, EOFError):
            pass
        finally:
            self._end()

    def _read(self, size: int) -> bytes:
        payload = bytearray()
        while len(payload) < size:
            part = self._stdin.read(min(size - len(payload), 1 << 20))
            if not part:
                raise EOFError
            payload += part
            self._heard = time.monotonic()
        return bytes(payload)

    def watch(self) -> None:
        """End the process when the other side is silent for too long."""
        while (left := self._heard + SILENCE - time.monotonic()) > 0:
            time.sleep(left)
        self._end()


class _Server:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = Store(folder)
        self._worker: Any = None
        self._timing: subprocess.Popen[bytes] | None = None

    def answer(self, request: Message, payload: bytes) -> list[Any]:
        """Do what a request asks; an error that is raised on purpose is also an answer."""
        verbs = {
            "facts": self._facts,
            "find": self._find,
            "put": self._put,
            "load": self._load,
            "run": self._run,
            "close": self._close,
            "time": self._time,
            "step": self._step,
            "install": self._install,
            "engines": self._engines,
            "taps": self._taps,
        }
        try:
            return verbs[request["verb"]](request, payload)
        except (EngineError, MissingDependencyError) as error:
            return framed(self._told(error))
        except InstallError as error:
            return framed({"error": "install", "message": str(error)})
        except EdgeexpoError as error:
            return framed({"error": type(error).__name__, "message": str(error)})
        except subprocess.TimeoutExpired:
            return framed(self._told(EngineError(f"no answer to {request['verb']} in time")))
        except OSError as error:
            return framed({"error": "disk", "message": error.strerror or str(error)})
        except ImportError as error:
            return framed({"error": "import", "message": error.name or str(error)})
        except (ValueError, KeyError, TypeError) as error:
            return framed({"error": "protocol", "message": f"{type(error).__name__}: {error}"})

    def _told(self, error: Exception) -> Message:
        reason, killed = getattr(error, "reason", None), False
        if reason is not None and self._worker is not None:
            killed = self._worker.was_killed and reason == "crash"
            self._worker.end()
            self._worker = None
        kind = STOPPED if killed else type(error).__name__
        return {"error": kind, "message": str(error), "reason": reason}

    def _facts(self, request: Message, payload: bytes) -> list[Any]:
        return framed(facts(self._folder))

    def _find(self, request: Message, payload: bytes) -> list[Any]:
        found = self._store.find(request["sha256"], request["name"])
        return framed({"found": found is not None})

    def _put(self, request: Message, payload: bytes) -> list[Any]:
        read = io.BytesIO(payload).read
        self._store.put(request["sha256"], request["name"], request["files"], read)
        return framed({})

    def _load(self, request: Message, payload: bytes) -> list[Any]:
        from edgeexpo.runtime.engines.base import EngineOptions
        from edgeexpo.runtime.engines.worker import Worker
        from edgeexpo.spec import ModelSpec, from_json

        if self._worker is None or not self._worker.alive:
            self._worker = Worker()
        name = self._worker.load(
            request["engine"],
            self._path(request),
            from_json(ModelSpec, request["spec"]),
            from_json(EngineOptions, request["options"]),
            request["limit"],
            OPENER,
        )
        return framed({"name": name, "worker": self._worker.pid})

    def _run(self, request: Message, payload: bytes) -> list[Any]:
        from edgeexpo.runtime.engines.shared_arrays import checked_layout

        if self._worker is None:
            raise EngineError("no engine is open")
        inputs = arrays_of(request["layout"], payload, checked_layout)
        started = time.perf_counter()
        outputs = self._worker.run(inputs, request["limit"])
        ms = (time.perf_counter() - started) * 1000
        layout, parts = array_parts(outputs)
        return framed({"layout": layout, "ms": ms}, parts)

    def _close(self, request: Message, payload: bytes) -> list[Any]:
        if self._worker is not None:
            self._worker.close(request["limit"])
        return framed({})

    def _time(self, request: Message, payload: bytes) -> list[Any]:
        watched, self._held = os.pipe()
        self._timing = subprocess.Popen(
            [sys.executable, "-c", _TIMING, json.dumps(sys.path), str(watched), request["child"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(watched,),
        )
        os.close(watched)
        job = {**request["job"], "path": str(self._path(request))}
        return self._timed(json.dumps(job).encode())

    def _step(self, request: Message, payload: bytes) -> list[Any]:
        return self._timed(b"")

    def _timed(self, line: bytes) -> list[Any]:
        child = self._timing
        if child is None or child.stdin is None or child.stdout is None:
            raise ValueError("no program is timed")
        try:
            child.stdin.write(line + b"\n")
            child.stdin.flush()
            answer = child.stdout.readline()
        except OSError:
            answer = b""
        if not answer:
            return framed({"ended": child.wait()})
        return framed(json.loads(answer))

    def _install(self, request: Message, payload: bytes) -> list[Any]:
        return framed({"python": install(self._folder, request["packages"], request["own"])})

    def _engines(self, request: Message, payload: bytes) -> list[Any]:
        return framed({"engines": {m: importable(m) for m in request["modules"]}})

    def _taps(self, request: Message, payload: bytes) -> list[Any]:
        job = {key: request[key] for key in ("wanted", "optimised")}
        job["path"] = str(self._path(request))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "inputs.npz").write_bytes(payload)
            words = [sys.executable, "-c", _TAPS, *map(json.dumps, (sys.path, folder, job))]
            ended = subprocess.run(
                words, capture_output=True, timeout=request["limit"], check=False
            )
            answer = Path(folder) / "outputs.npz"
            if ended.returncode or not answer.exists():
                said = ended.stderr.decode(errors="replace").strip().splitlines()
                reason = said[-1][:240] if said else f"exit code {ended.returncode}"
                raise EngineError(f"{request['name']} cannot be traced: {reason}")
            return framed({}, [answer.read_bytes()])

    def _path(self, request: Mapping[str, Any]) -> Path:
        path = self._store.find(request["sha256"], request["name"])
        if path is None:
            raise ValueError(f"{request['name']} is not in the cache any more")
        return path


def importable(module: str) -> str:
    """Return ``usable``, or why a module cannot be imported, after a try in a process of its own.

    Args:
        module: The module's dotted name.
    """
    tried = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=50,
        check=False,
    )
    if tried.returncode == 0:
        return "usable"
    said = tried.stderr.decode(errors="replace").strip().splitlines() or ["it crashes"]
    if said[-1].startswith("ModuleNotFoundError"):
        return "not installed"
    return f"does not load: {said[-1][:240]}"


def open_there(engine: str, path: Path, spec: Any, options: Any) -> Any:
    """Load an artefact into an engine, as :mod:`edgeexpo.parity.isolation` does here.

    Arguments and errors are those of :func:`edgeexpo.runtime.engines.base.open_engine_class`.
    """
    from edgeexpo.runtime.engines.base import open_engine_class

    keep_freed_memory()
    return open_engine_class(engine, path, spec, options)
