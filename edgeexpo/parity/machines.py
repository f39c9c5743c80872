"""Other machines that run artefacts for a parity check."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgeexpo.parity.isolation import TIME_LIMIT
from edgeexpo.parity.verdict import OtherHost
from edgeexpo.progress import status
from edgeexpo.remote.address import HERE
from edgeexpo.remote.engine import RemoteEngine
from edgeexpo.remote.host import RemoteHost
from edgeexpo.runtime.engines.base import Arrays, Engine
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import Runner, target_named


class Machine:
    """Another machine that runs one artefact after the other.

    Args:
        host: The machine.
    """

    def __init__(self, host: RemoteHost) -> None:
        self._host = host
        self._facts = host.ready()
        self._runner: Runner | None = None
        self._engine: _TimedEngine | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The features of the machine's processor."""
        return tuple(self._facts["cpu_features"])

    def open(self, target: str, path: Path, spec: ModelSpec, runner: Runner | None) -> Engine:
        """Load an artefact on the machine.

        Args:
            target: The artefact's target.
            path: The artefact, already checked against its digest.
            spec: The model.
            runner: Engine instead of the target's own.

        Raises:
            MissingDependencyError: The engine is not installed there or does not run there.
            EngineError: The engine refuses the artefact or crashes.
            HostError: The machine was lost.
        """
        self._engine = self._runner = None
        self._runner = self._host.runner(target_named(target), runner)
        self._engine = _TimedEngine(self._host, self._runner, spec)
        self._engine.load(path)
        return self._engine

    def described(self, lost: bool = False) -> OtherHost:
        """Return the facts of the machine and of the last engine that ran there.

        Args:
            lost: True if the machine was lost during the run.
        """
        runner, engine = self._runner, self._engine
        return OtherHost(
            name=self._host.name,
            processor=str(self._facts["cpu"]),
            features=self.features,
            os=str(self._facts["os"]),
            version=self._host.version(runner) if runner else "",
            ms=round(statistics.median(engine.times), 3) if engine and engine.times else None,
            lost=lost,
        )


class _TimedEngine(RemoteEngine):
    """A remote engine that keeps the times of its runs."""

    def __init__(self, host: RemoteHost, runner: Runner, spec: ModelSpec) -> None:
        super().__init__(host, runner, spec, limit=TIME_LIMIT)
        self.times: list[float] = []

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        outputs = super().run(inputs)
        self.times.append(self.ms)
        return outputs


@contextlib.contextmanager
def opened_machines(on: Sequence[str]) -> Iterator[list[Machine | None]]:
    """Give the machines with these addresses for the block, ``None`` for this one.

    Args:
        on: The addresses, or ``here``. Without any, this machine alone.

    Raises:
        UsageError: An address is invalid.
        HostError: A machine cannot be reached, or lacks Python or NumPy.
    """
    with contextlib.ExitStack() as stack:
        hosts = [None if a == HERE else RemoteHost(a) for a in dict.fromkeys(on or (HERE,))]
        found: list[Machine | None] = []
        for host in hosts:
            if host is not None:
                stack.enter_context(host)
                with status(f"Connecting to {host.name}"):
                    found.append(Machine(host))
            else:
                found.append(None)
        yield found
