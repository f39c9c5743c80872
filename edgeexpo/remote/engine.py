"""An engine on another machine, with the interface of an engine here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgeexpo.errors import EngineError, HostError, LostConnectionError
from edgeexpo.remote.framing import array_parts, arrays_of
from edgeexpo.remote.host import ANSWER_LIMIT, CrashThereError, RemoteHost, digest_of
from edgeexpo.runtime.engines.base import DEFAULTS, Arrays, EngineOptions, closed
from edgeexpo.runtime.engines.shared_arrays import checked_layout
from edgeexpo.spec import ModelSpec, to_json
from edgeexpo.targets import Runner

RUN_LIMIT = 300.0
"""Seconds that loading an artefact or one run may take there by default."""

_Result = TypeVar("_Result")


class RemoteEngine:
    """An engine that runs an artefact on another machine.

    If the connection is lost, or the engine's process there crashes, the run is tried once more
    over a new connection. If the second try fails, too, the caller gets an error.

    Args:
        host: The machine. Its connection serves one engine at a time.
        runner: The engine.
        spec: The model.
        options: Threads and memory.
        limit: Seconds that loading or one run may take there.

    Attributes:
        name: The engine's name.
        ms: Milliseconds that the last run took there, without the connection.
    """

    def __init__(
        self,
        host: RemoteHost,
        runner: Runner,
        spec: ModelSpec,
        options: EngineOptions = DEFAULTS,
        limit: float | None = None,
    ) -> None:
        self.name = runner.name
        self.ms = 0.0
        self._host, self._runner, self._spec, self._options = host, runner, spec, options
        self._limit = RUN_LIMIT if limit is None else limit
        self._path: Path | None = None
        self._sha256 = ""
        self._link: int | None = None

    def load(self, path: Path) -> None:
        """Send the artefact if the machine does not have it, and load it there.

        Raises:
            MissingDependencyError: The engine is not installed there.
            EngineError: The engine refuses the artefact or the options, or crashes twice.
            HostError: The machine cannot be reached, or refuses the artefact.
            LostConnectionError: The connection broke twice.
        """
        self._sha256, self._path = digest_of(path), path
        self._twice(self._load)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run once: NCHW float32 by input name to NCHW float32 by output name.

        Raises:
            EngineError: The engine refused the inputs, crashed twice, or is closed.
            LostConnectionError: The connection broke twice.
        """
        if self._path is None:
            raise closed(self.name)
        return self._twice(lambda: self._run(inputs))

    def close(self) -> None:
        """Free the engine there; the connection stays for the next one."""
        self._path = None
        if self._link is not None and self._link == self._host.link:
            self._link = None
            try:
                self._host.ask({"verb": "close", "limit": self._limit}, self._limit + ANSWER_LIMIT)
            except (EngineError, HostError):  # what was computed stays valid
                self._host.close()

    def _twice(self, step: Callable[[], _Result]) -> _Result:
        try:
            return step()
        except (LostConnectionError, CrashThereError):
            self._host.close()
        try:
            return step()
        except (LostConnectionError, CrashThereError) as again:
            self._host.close()
            raise type(again)(f"{again}; a second try failed as well") from again

    def _load(self) -> None:
        assert self._path is not None
        key = self._host.send(self._path, self._sha256)
        request = {
            "verb": "load",
            **key,
            "engine": self._runner.engine,
            "spec": to_json(self._spec),
            "options": to_json(self._options),
            "limit": self._limit,
        }
        self._host.ask(request, self._limit + ANSWER_LIMIT)
        self._link = self._host.link

    def _run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        if self._link is None or self._link != self._host.link:
            self._load()
        layout, parts = array_parts(inputs)
        request = {"verb": "run", "layout": layout, "limit": self._limit}
        answer, payload = self._host.ask(request, self._limit + ANSWER_LIMIT, parts)
        try:
            outputs = arrays_of(answer["layout"], payload, checked_layout)
            self.ms = float(answer["ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise LostConnectionError(
                f"the connection to {self._host.name} is lost: it gives an invalid answer"
            ) from error
        return outputs
