"""One connection to the program on another machine, with a time limit on every word."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from edgeexpo.errors import HostError, LostConnectionError
from edgeexpo.remote.framing import LONGEST_LINE, Message, framed, parsed
from edgeexpo.remote.payload import payload
from edgeexpo.remote.transport import CONNECT_SECONDS, MARK, Transport

OLDEST_PYTHON = (3, 11)
"""Oldest Python that the other machine may have."""

START_LIMIT = 120.0
"""Seconds in which the program there has to start, after the connection."""

SUPPORTED = sys.platform != "win32"
"""Whether this system's pipes can be waited for with a time limit."""

_HEARTBEAT = 5.0
"""Seconds between two signs of life."""

_MOST_JUNK = 1 << 16
"""Bytes that a shell's start-up files may print before the program answers."""


class Connection:
    """A running program on another machine, which answers one request after the other.

    Args:
        transport: The way to start the program.

    Raises:
        HostError: The machine cannot be reached, or lacks what the program needs.
        LostConnectionError: The connection broke or hangs.
    """

    def __init__(self, transport: Transport) -> None:
        if not SUPPORTED:
            raise HostError(
                "another machine is reached from Linux or macOS; leave `on` out on this system"
            )
        self.name = transport.name
        self._transport = transport
        self._received = bytearray()
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            self._process = subprocess.Popen(
                transport.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for this process, which ends the other one
            )
        except OSError as error:
            self._said.close()
            raise HostError(
                f"{transport.command()[0]} cannot be started: {error.strerror}; install OpenSSH's "
                "client"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for descriptor in (self._in, self._out):
            os.set_blocking(descriptor, False)
        self._over = threading.Event()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._live, daemon=True).start()

    @property
    def pid(self) -> int:
        """Identifier of the process here that carries the connection."""
        return self._process.pid

    def ask(
        self, request: Mapping[str, Any], limit: float, parts: Sequence[Any] = ()
    ) -> tuple[Message, bytes]:
        """Send a request and return its answer.

        Args:
            request: The request.
            limit: Seconds in which the answer has to come.
            parts: Bytes that follow the request.

        Returns:
            The answer's object and the bytes that followed it.

        Raises:
            LostConnectionError: The connection broke, hangs, or carries nonsense.
        """
        deadline = time.monotonic() + limit
        try:
            if not self._lock.acquire(timeout=limit):
                raise TimeoutError
            try:
                for part in framed(request, parts):
                    self._send(part, deadline)
            finally:
                self._lock.release()
            answer, size = parsed(self._line(deadline))
            return answer, self._bytes(size, deadline)
        except TimeoutError as error:
            raise self._lost(f"no answer to {request['verb']!r} within {limit:g} s") from error
        except (OSError, EOFError) as error:
            raise self._lost(self._last_words("it ended")) from error
        except (ValueError, RecursionError) as error:
            raise self._lost("it gives an invalid answer") from error

    def close(self) -> None:
        """End the connection, and with it what runs on the other machine; again is harmless."""
        self._over.set()
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _start(self) -> None:
        source = resources.files("edgeexpo.remote").joinpath("bootstrap.py").read_text("utf-8")
        data, sha256 = payload()
        wanted = {"python": OLDEST_PYTHON, "sha256": sha256, "bytes": len(data)}
        deadline = time.monotonic() + CONNECT_SECONDS + START_LIMIT
        try:
            for line in (f"{source}\nstart()\n", wanted):
                self._send(json.dumps(line).encode() + b"\n", deadline)
            hello = self._hello(deadline)
            if hello.get("need"):
                self._send(data, deadline)
            if not hello.get("error"):
                hello = self._hello(deadline)
        except TimeoutError as error:
            raise self._lost("Python does not start there in time") from error
        except (OSError, EOFError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            code = self._process.returncode or 0
            raise HostError(self._transport.refusal(self._speech(), code)) from error
        except ValueError as error:
            raise HostError(
                f"{self.name} answers with something else than edgeexpo; its shell may print a "
                "greeting: silence it for connections without a terminal"
            ) from error
        if hello.get("error"):
            raise HostError(self._unable(hello))
        self.python, self.executable = str(hello.get("python")), str(hello.get("executable"))

    def _hello(self, deadline: float) -> Message:
        junk = 0
        while not (line := self._line(deadline)).startswith(MARK):
            junk += len(line)
            if junk > _MOST_JUNK:
                raise ValueError("a long greeting")
        return parsed(line[len(MARK) :])[0]

    def _unable(self, hello: Message) -> str:
        least = ".".join(map(str, OLDEST_PYTHON))
        way = f"name another one in the address: {self.name}/PATH/OF/PYTHON"
        if hello["error"] == "python":
            return f"{self.name} has no such Python; install Python {least} or later, or {way}"
        if hello["error"] == "old":
            return (
                f"{self.name} has Python {hello.get('python')} ({hello.get('executable')}); "
                f"expected {least} or later: {way}"
            )
        return (
            f"{self.name} cannot keep edgeexpo's runtime in its cache folder: "
            f"{hello.get('message')}; free some space there"
        )

    def _live(self) -> None:
        (sign,) = framed({"verb": "alive"})
        while not self._over.wait(_HEARTBEAT):
            with self._lock:
                if self._over.is_set():
                    return
                try:
                    self._send(sign, time.monotonic() + START_LIMIT)
                except (OSError, ValueError, TimeoutError):
                    return

    def _send(self, data: bytes | memoryview, deadline: float) -> None:
        left = memoryview(data)
        while left:
            self._wait(self._in, selectors.EVENT_WRITE, deadline)
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(self._in, left[: 1 << 16]) :]

    def _line(self, deadline: float) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > LONGEST_LINE:
                raise ValueError("an endless line")
            self._receive(deadline)
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _bytes(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            self._receive(deadline)
        found = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return found

    def _receive(self, deadline: float) -> None:
        self._wait(self._out, selectors.EVENT_READ, deadline)
        with contextlib.suppress(BlockingIOError):
            part = os.read(self._out, 1 << 20)
            if not part:
                raise EOFError
            self._received += part

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        with selectors.DefaultSelector() as ready:
            ready.register(descriptor, event)
            if left <= 0 or not ready.select(left):
                raise TimeoutError

    def _lost(self, reason: str) -> LostConnectionError:
        return LostConnectionError(f"the connection to {self.name} is lost: {reason}")

    def _last_words(self, otherwise: str) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        said = [line.strip() for line in self._speech() if line.strip()]
        return said[-1][:240] if said else otherwise

    def _speech(self) -> list[str]:
        with open(self._said.fileno(), "rb", closefd=False) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _MOST_JUNK))
            return stream.read().decode(errors="replace").splitlines()
