"""A session whose network runs on another machine, while the stages run on this one."""

from __future__ import annotations

import os

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.progress import note
from edgeexpo.remote.engine import RemoteEngine
from edgeexpo.remote.host import RemoteHost
from edgeexpo.remote.transport import Transport
from edgeexpo.runtime import load
from edgeexpo.runtime.engine_choice import choices
from edgeexpo.runtime.engines.base import EngineOptions
from edgeexpo.runtime.session import Session
from edgeexpo.targets import runner_named


class _OwnHostEngine(RemoteEngine):
    """A remote engine that ends the connection when it is closed."""

    def close(self) -> None:
        super().close()
        self._host.close()


def load_on(
    path: str | os.PathLike[str],
    on: str | Transport,
    *,
    target: str | None = None,
    precision: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
    memory_mb: float | None = None,
    timeout_s: float | None = None,
    frames: FrameFormat | None = None,
    output: FrameFormat | None = None,
) -> Session:
    """Open a bundle for pictures, with its engine on another machine.

    Every tile is sent there and comes back as float32. A lost connection is made once more for the
    same tile. Frames and stages stay on this machine.

    Args:
        path: The bundle's folder.
        on: The machine: an address, such as ``ssh://pi@camera``, or a transport.
        target, precision, threads, memory_mb, frames, output: As for
            :func:`edgeexpo.runtime.load`, among the engines of the other machine.
        engine: Name of an engine, instead of the target's own.
        timeout_s: Seconds that loading or one tile may take there; 300 by default.

    Raises:
        UsageError: The address is invalid, or as for :func:`edgeexpo.runtime.load`.
        BundleError: As for :func:`edgeexpo.runtime.load`.
        HostError: The machine cannot be reached, or lacks Python or NumPy.
        MissingDependencyError: No engine there runs the bundle.
        EngineError: The engine refuses the artefact, or its version is a wrong one.
    """
    host = RemoteHost(on)
    bundle = Bundle.open(path)
    found = choices(bundle, target, precision, engine)
    for line in found.notes:
        note(line)
    try:
        host.ready()
        refusal: MissingDependencyError | EngineError | None = None
        for choice in found.ranked:
            record, _ = runner_named(choice.runner.name)
            try:
                runner = host.runner(record, choice.runner)
            except MissingDependencyError as error:
                refusal = refusal or error
                continue
            if fault := host.fault(runner, choice.artifact.precision):
                refusal = refusal or EngineError(fault)
                continue
            opened = _OwnHostEngine(
                host, runner, bundle.manifest.model, EngineOptions(threads), timeout_s
            )
            opened.name = f"{runner.name} {host.version(runner)} on {host.name}"
            return load(
                path,
                target=choice.artifact.target,
                precision=choice.artifact.precision,
                memory_mb=memory_mb,
                engine=opened,
                frames=frames,
                output=output,
            )
    except BaseException:
        host.close()
        raise
    host.close()
    assert refusal is not None  # there is at least one choice
    raise refusal
