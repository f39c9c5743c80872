"""Another machine: its facts, its cache of artefacts, and its connection, which is made again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeexpo.bundle.files import digest
from edgeexpo.errors import (
    EngineError,
    HostError,
    LostConnectionError,
    MissingDependencyError,
)
from edgeexpo.progress import note
from edgeexpo.remote.address import Address
from edgeexpo.remote.connection import Connection
from edgeexpo.remote.framing import Message
from edgeexpo.remote.transport import SshTransport, Transport
from edgeexpo.targets import Runner, Target

ANSWER_LIMIT = 60.0
"""Seconds in which the other machine has to answer, beyond the time of what it is asked to do."""

SENDING_RATE = 50_000.0
"""Bytes a second that a usable connection carries at least. Slower ones count as lost."""

_LARGEST_PART = 1 << 33
"""Largest artefact in bytes that is sent."""

CLOCK_TOLERANCE = 300.0
"""Seconds by which the clocks of two machines may differ without a word."""


class RemoteHost:
    """A machine that runs engines for this one.

    Use it as a context manager, or call :meth:`close`. The connection is made on first use, and
    again after it was lost.

    Args:
        transport: The way to the machine, or its address as
            :class:`edgeexpo.remote.address.Address` reads it.

    Raises:
        UsageError: The address is invalid.
    """

    def __init__(self, transport: Transport | str) -> None:
        self.transport: Transport = (
            SshTransport(Address.parse(transport)) if isinstance(transport, str) else transport
        )
        self.name = self.transport.name
        self.connections = 0
        self._connection: Connection | None = None
        self._facts: Mapping[str, Any] | None = None

    @property
    def link(self) -> int | None:
        """Number of the present connection, counted from 1; ``None`` without one."""
        return None if self._connection is None else self.connections

    @property
    def client_pid(self) -> int | None:
        """Process here that carries the present connection; ``None`` without one."""
        connection = self._connection
        return None if connection is None else connection.pid

    @property
    def connection(self) -> Connection:
        """The connection.

        Raises:
            HostError: The machine cannot be reached, or lacks Python.
        """
        if self._connection is None:
            self._connection = Connection(self.transport)
            self.connections += 1
        return self._connection

    @property
    def facts(self) -> Mapping[str, Any]:
        """The machine's facts, as :func:`edgeexpo.remote.facts.facts` returns them there.

        ``clock_ahead_s`` is the time in seconds by which its clock is ahead of the clock here.

        Raises:
            HostError: The machine cannot be reached, or lacks Python.
        """
        if self._facts is None:
            sent = time.time()
            found, _ = self.ask({"verb": "facts"}, ANSWER_LIMIT)
            ahead = found["clock"] - (sent + time.time()) / 2
            self._facts = {**found, "clock_ahead_s": round(ahead, 1)}
        return self._facts

    def ready(self) -> Mapping[str, Any]:
        """Return the machine's facts after a check that engines can run there at all.

        A line on stderr says so if its clock is wrong.

        Raises:
            HostError: The machine cannot be reached, or lacks Python or NumPy.
        """
        found = self.facts
        if found["numpy"] is None:
            raise HostError(
                f"{self.name} has no numpy in {found['executable']}; install it there, name "
                f"another Python in the address, or use: {self._installing('onnxruntime')}"
            )
        if line := clock_line(self.name, found):
            note(f"edgeexpo: {line}")
        return found

    def runner(self, target: Target, asked: Runner | None = None) -> Runner:
        """Return the engine that runs the artefacts of a target on this machine.

        Args:
            target: The target.
            asked: The engine that the user named, if any.

        Raises:
            MissingDependencyError: The engine does not run there, or is not installed there.
            HostError: The machine cannot be reached.
        """
        runner, found = asked or target.runner, self.facts
        if runner is target.interpreter or target.platform not in (None, found["system"]):
            raise MissingDependencyError(
                f"{target.title} needs {target.platform_title or 'another system'}, and "
                f"{self.name} runs {found['os']}; name a machine that runs it"
            )
        if found["packages"].get(runner.versions.package) is None:
            raise MissingDependencyError(
                f"{runner.versions.package} is not installed in {found['executable']} of "
                f"{self.name}; install it there, or use: {self._installing(runner.name)}"
            )
        return runner

    def _installing(self, engine: str) -> str:
        return f"edgeexpo doctor `on='{self.name}'` `install='{engine}'`"

    def fault(self, runner: Runner, precision: str) -> str | None:
        """Return why an engine there cannot be trusted with artefacts, or ``None``.

        Args:
            runner: The engine.
            precision: Precision of the artefacts.
        """
        features = self.facts["cpu_features"]
        if lacking := runner.lacks(precision, features):
            return f"{lacking} (on {self.name}); choose another `engine`"
        fault = runner.versions.fault(
            runner.precision_of(precision), self.version(runner), features
        )
        return f"{fault} (on {self.name})" if fault else None

    def version(self, runner: Runner) -> str:
        """Return the version of an engine on this machine."""
        return str(self.facts["packages"].get(runner.versions.package) or "unknown")

    def ask(
        self, request: Mapping[str, Any], limit: float, parts: Sequence[Any] = ()
    ) -> tuple[Message, bytes]:
        """Send a request and return its answer, as :meth:`Connection.ask` does.

        Raises:
            EngineError, MissingDependencyError: An engine there says so.
            HostError: The machine cannot do what it was asked.
            LostConnectionError: The connection broke, hangs, or carries nonsense. The next request
                makes it again.
        """
        seconds = sum(len(part) for part in parts) / SENDING_RATE
        try:
            answer, payload = self.connection.ask(request, limit + seconds, parts)
        except BaseException:
            self.close()  # an interrupt, too, leaves an answer that nobody waits for
            raise
        kind, message = answer.get("error"), str(answer.get("message"))
        if kind is not None:
            raise self._error(str(kind), message)
        return answer, payload

    def _error(self, kind: str, message: str) -> Exception:
        match kind:
            case "EngineError":
                return EngineError(message)
            case "LostError":
                return CrashThereError(message)
            case "MissingDependencyError":
                return MissingDependencyError(f"{message} (on {self.name})")
            case "stopped":
                return LostConnectionError(
                    f"the engine's process on {self.name} was killed: {message}; its memory may "
                    "not suffice"
                )
            case "disk":
                return HostError(
                    f"{self.name} cannot keep the artefact in its cache folder: {message}; free "
                    "some space there"
                )
            case "import":
                return HostError(f"{self.name} lacks {message}; install it there")
            case "install":
                return HostError(f"{self.name} cannot install it: {message}")
        return HostError(f"{self.name} refuses a request: {message}")

    def send(self, path: Path, sha256: str) -> dict[str, str]:
        """Send an artefact, unless the machine has it, and return its name in requests.

        Args:
            path: The artefact, already checked against its digest.
            sha256: Its digest.

        Raises:
            HostError: The machine cannot keep it.
            LostConnectionError: The connection broke.
        """
        key = {"sha256": sha256, "name": path.name}
        found, _ = self.ask({"verb": "find", **key}, ANSWER_LIMIT)
        if found["found"]:
            return key
        files = _files(path)
        parts = [file.read_bytes() for _, file in files]
        size = sum(map(len, parts))
        if size > min(self.facts["free_bytes"], _LARGEST_PART):
            raise HostError(
                f"{self.name} has {self.facts['free_bytes']} bytes free and {path.name} takes "
                f"{size}: its disk is full; free some space there"
            )
        named = [(name, len(part)) for (name, _), part in zip(files, parts, strict=True)]
        self.ask({"verb": "put", **key, "files": named}, ANSWER_LIMIT, parts)
        return key

    def importable(self, modules: Sequence[str]) -> dict[str, str]:
        """Try to import modules there, and return ``usable`` or the reason by module.

        Raises:
            HostError: The machine was lost.
        """
        limit = ANSWER_LIMIT * (1 + len(modules))
        answer, _ = self.ask({"verb": "engines", "modules": list(modules)}, limit)
        return {name: str(answer["engines"].get(name)) for name in modules}

    def forget(self) -> None:
        """End the connection and forget the facts, which an installation changed."""
        self.close()
        self._facts = None

    def close(self) -> None:
        """End the connection, and with it what runs there; the next request makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> RemoteHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CrashThereError(EngineError):
    """The process of an engine on another machine crashed or hung; the machine is still there."""


def clock_line(name: str, facts: Mapping[str, Any]) -> str | None:
    """Return a line about a machine's clock if it is wrong, else ``None``."""
    ahead = facts["clock_ahead_s"]
    if abs(ahead) <= CLOCK_TOLERANCE:
        return None
    side = "ahead of" if ahead > 0 else "behind"
    return (
        f"the clock of {name} is {abs(ahead):.0f} s {side} the clock here; times are measured "
        "without it, but an installation there may refuse certificates: set it"
    )


def digest_of(path: Path) -> str:
    """Return an artefact's digest.

    Raises:
        EngineError: The artefact cannot be read.
    """
    try:
        return digest(path)
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from error


def _files(path: Path) -> list[tuple[str, Path]]:
    if not path.is_dir():
        return [("", path)]
    found = sorted(p for p in path.rglob("*") if p.is_file())
    return [(p.relative_to(path).as_posix(), p) for p in found]
