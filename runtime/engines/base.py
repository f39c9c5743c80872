"""Engines: what runs one artefact. Arrays in, arrays out; everything else is the session's."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError, UsageError
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import resolve, target_named

Arrays = Mapping[str, np.ndarray]


class Engine(Protocol):
    """Runs one artefact.

    ``name`` says who did the work in a parity record (``onnxruntime``, ``executorch``...).
    """

    name: str

    def load(self, path: Path) -> None:
        """Load the artefact at ``path``. Raises :class:`EngineError` if the engine refuses it."""

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run once: NCHW float32 by input name to NCHW float32 by output name.

        The inputs are valid during the run: their memory is the next tile's.
        """

    def close(self) -> None:
        """Free the engine; calling it twice is harmless."""


@dataclass(frozen=True)
class EngineOptions:
    """What an app decides for the engine; what an engine cannot do it refuses.

    Attributes:
        threads: Threads for one run; ``None`` leaves the choice to the engine or, with
            ``affinity``, is one for each of its CPUs.
        affinity: CPUs that the engine's threads run on, by the system's numbers, from 0. An engine
            in this process runs on the calling thread, too, and leaves that one where it is; an
            isolated engine's whole process stays on them. Linux only. ONNX Runtime does both,
            ExecuTorch is restricted when isolated.
        arena: Keep the memory of a run for the next one. False frees it tensor by tensor; ONNX
            Runtime only.

    Raises:
        UsageError: No thread, or CPUs that are none or the same.
    """

    threads: int | None = None
    affinity: tuple[int, ...] | None = None
    arena: bool = True

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads is {self.threads}; expected at least 1")
        if self.affinity is None:
            return
        cpus = set(self.affinity)
        if not cpus or len(cpus) < len(self.affinity) or min(cpus) < 0:
            raise UsageError(
                f"affinity is {self.affinity}; expected different CPUs by number, as in (0, 1)"
            )
        if self.threads is None:
            object.__setattr__(self, "threads", len(cpus))


DEFAULTS = EngineOptions()
"""Everything as the engine likes it."""


def open_engine(
    target: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load the artefact at ``path`` into the engine of ``target``.

    Args:
        target: One of :data:`edgeexpo.targets.TARGETS`.
        path: The artefact, already checked against its digest.
        spec: The model; engines without named inputs take them in its order.
        options: Threads, CPUs and memory.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or cannot do what the options ask for.
    """
    return open_engine_class(target_named(target).runner.engine, path, spec, options)


def open_for_verification(
    target: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load an artefact into what verifies ``target`` on this host: its engine or interpreter.

    Arguments and errors are those of :func:`open_engine`.
    """
    return open_engine_class(target_named(target).verifier.engine, path, spec, options)


def interpreter(target: str, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> Engine | None:
    """The interpreter that takes the place of the engine of ``target`` here, nothing loaded.

    Returns:
        ``None`` where the target's own engine runs on this host, or nothing interprets its files.

    Raises:
        MissingDependencyError: What the interpreter needs is not installed.
    """
    record = target_named(target)
    if record.verifier is record.runner:
        return None
    return _engine_of(record.verifier.engine, spec, options)


def open_engine_class(
    engine: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load the artefact at ``path`` into an engine that a target's record names.

    Processes that run an engine for another are told this name: they need not know the target.

    Args:
        engine: The engine's class, ``module:Class``.
        path: The artefact, already checked against its digest.
        spec: The model; engines without named inputs take them in its order.
        options: Threads, CPUs and memory.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or cannot do what the options ask for.
    """
    made = _engine_of(engine, spec, options)
    made.load(path)
    return made


def _engine_of(engine: str, spec: ModelSpec, options: EngineOptions) -> Engine:
    try:
        made: Engine = resolve(engine)(spec, options)
    except ImportError as error:
        raise MissingDependencyError(
            f"{engine.partition(':')[2]} needs {error.name}, which is not installed; "
            "pip install 'edgeexpo[export]', or choose another `target`"
        ) from error
    return made


def promised(outputs: Arrays, spec: ModelSpec, inputs: Arrays) -> dict[str, np.ndarray]:
    """The outputs that the manifest promises.

    Raises:
        EngineError: One is missing, or is no 1xCxHxW array of numbers with its spec's channels and,
            unless the network has a size of its own, the height and width of its inputs.
    """
    following = [t.name for t in spec.inputs if t.size is None and t.name in inputs]
    sides = [inputs[name].shape[2:] for name in following]
    kept = {}
    for tensor in spec.outputs:
        if tensor.name not in outputs:
            found = ", ".join(outputs) or "none"
            raise EngineError(
                f"the artefact has no output {tensor.name!r}, which its manifest promises; found "
                f"{found}: export the bundle again"
            )
        output = np.asarray(outputs[tensor.name])
        shape = output.shape
        if len(shape) != 4 or shape[:2] != (1, tensor.channels) or output.dtype.kind not in "fiu":
            raise EngineError(
                f"output {tensor.name!r} is {_size(shape)} {output.dtype}; its "
                f"manifest promises 1x{tensor.channels}xHxW: export the bundle again"
            )
        if sides and shape[2:] != sides[0]:
            raise EngineError(
                f"output {tensor.name!r} is {_size(shape[2:])} (HxW) for inputs of "
                f"{_size(sides[0])}; its height and width are exchanged, or it scales: "
                "export the bundle again"
            )
        kept[tensor.name] = output
    return kept


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def check_cpus(cpus: Collection[int]) -> None:
    """Raise :class:`EngineError` unless threads of this process may run on all these CPUs."""
    if not hasattr(os, "sched_setaffinity"):
        raise EngineError("affinity needs Linux; leave it out on this system")
    granted: set[int] = set()

    def probe() -> None:
        # The kernel drops CPUs that it cannot give, and ONNX Runtime goes on without a word.
        with contextlib.suppress(OSError, OverflowError):
            os.sched_setaffinity(0, {*cpus, *range(os.cpu_count() or 1)})
            granted.update(os.sched_getaffinity(0))

    thread = threading.Thread(target=probe)  # affinity is a thread's own
    thread.start()
    thread.join()
    if lacking := sorted(set(cpus) - granted):
        raise EngineError(
            f"affinity names CPU {_listed(lacking)}; this process may run on {_listed(granted)}"
        )


def _listed(cpus: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


def in_memory(path: Path) -> bytes:
    """The artefact at ``path``: what is overwritten on disk later cannot reach an open session.

    Raises:
        EngineError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from error


def missing(package: str, extra: str) -> MissingDependencyError:
    """The error for an engine whose package is not installed."""
    return MissingDependencyError(
        f"{package} is not installed; pip install 'edgeexpo{extra}', or choose another `target`"
    )


def first_line(error: BaseException) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:240]


def closed(name: str) -> EngineError:
    """The error for a run after close."""
    return EngineError(f"the {name} engine is closed; load the bundle again")
