"""Engines, which run one artefact each.

An engine takes arrays and gives arrays. The session does everything else.
"""

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
from edgeexpo.runtime.engines.frames import FrameEngine
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import resolve, target_named

Arrays = Mapping[str, np.ndarray]
"""Type of arrays by the name of an input or output."""


class Engine(Protocol):
    """An engine that runs one artefact.

    ``name`` identifies the engine in a parity record (``onnxruntime``, ``executorch``...).
    """

    name: str

    def load(self, path: Path) -> None:
        """Load the artefact at ``path``.

        Raises:
            EngineError: The engine refuses the artefact.
        """

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the artefact once.

        Args:
            inputs: NCHW float32 by input name, in the range and encoding of the input's spec. They
                are valid only during the run, since the next tile reuses their memory.

        Returns:
            NCHW float32 by output name.

        Raises:
            EngineError: The run fails, or the engine is closed.
        """

    def close(self) -> None:
        """Free the engine. A second call does nothing."""


@dataclass(frozen=True)
class EngineOptions:
    """The options of an app for the engine. An engine refuses options that it does not support.

    Attributes:
        threads: Number of threads for one run. ``None`` leaves the choice to the engine. With
            ``affinity``, ``None`` stands for one thread for each CPU in ``affinity``.
        affinity: Numbers of the CPUs that the engine's threads run on, as the system counts them,
            from 0. Linux only. An engine in this process also runs on the calling thread, which is
            not moved. An isolated engine's whole process stays on these CPUs. ONNX Runtime supports
            both, and ExecuTorch supports it when isolated.
        arena: True keeps the memory of a run for the next run. False frees the memory tensor by
            tensor, which only ONNX Runtime supports.

    Raises:
        UsageError: ``threads`` is below 1, or ``affinity`` is empty or names a CPU twice or by a
            negative number.
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
"""Default options, which leave every choice to the engine."""


def open_engine(
    target: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load the artefact at ``path`` into the engine of ``target``.

    Args:
        target: Name of a target in :data:`edgeexpo.targets.TARGETS`.
        path: Path of the artefact, already checked against its digest.
        spec: The model. Engines without named inputs take the inputs in its order.
        options: Threads, CPUs and memory.

    Raises:
        UsageError: The target is unknown.
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or does not support the options.
    """
    return open_engine_class(target_named(target).runner.engine, path, spec, options)


def open_for_verification(
    target: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load an artefact into the engine or interpreter that verifies ``target`` on this host.

    Arguments and errors are those of :func:`open_engine`.
    """
    return open_engine_class(target_named(target).verifier.engine, path, spec, options)


def interpreter(target: str, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> Engine | None:
    """Return the interpreter that replaces the engine of ``target`` on this host.

    Returns:
        The interpreter, without an artefact. ``None`` if the target's own engine runs on this host,
        or if the target has no interpreter.

    Raises:
        UsageError: The target is unknown.
        MissingDependencyError: A library that the interpreter needs is not installed.
    """
    record = target_named(target)
    if record.verifier is record.runner:
        return None
    return _engine_of(record.verifier.engine, spec, options)


def open_engine_class(
    engine: str, path: Path, spec: ModelSpec, options: EngineOptions = DEFAULTS
) -> Engine:
    """Load the artefact at ``path`` into an engine that a target's record names.

    A process that runs an engine for another process gets this name, so that it need not know the
    target.

    Args:
        engine: Class of the engine, as ``module:Class``.
        path: Path of the artefact, already checked against its digest.
        spec: The model. Engines without named inputs take the inputs in its order.
        options: Threads, CPUs and memory.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or does not support the options.
    """
    made = _engine_of(engine, spec, options)
    made.load(path)
    return FrameEngine(made, spec) if spec.takes_frames else made


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
    """Return the outputs that the manifest promises, and check their shapes.

    Args:
        outputs: Outputs of a run by name.
        spec: The model that the manifest describes.
        inputs: Inputs of the run by name, NCHW.

    Returns:
        1xCxHxW by output name.

    Raises:
        EngineError: An output is missing, or is not a 1xCxHxW array of numbers with the channels of
            its spec. Or its height and width are not the promised ones.
    """
    following = [t.name for t in spec.inputs if t.size is None and t.name in inputs]
    scale = spec.footprint.scale
    sides = [tuple(int(side * scale) for side in inputs[name].shape[2:]) for name in following]
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
                f"output {tensor.name!r} is {_size(shape[2:])} (HxW) and its manifest promises "
                f"{_size(sides[0])}; its height and width are exchanged, or it scales: "
                "export the bundle again"
            )
        kept[tensor.name] = output
    return kept


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def check_cpus(cpus: Collection[int]) -> None:
    """Check that threads of this process may run on all these CPUs.

    Raises:
        EngineError: A CPU is not available to this process, or the system is not Linux.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise EngineError("affinity needs Linux; leave it out on this system")
    granted: set[int] = set()

    def probe() -> None:
        # The kernel drops CPUs that it cannot give, and ONNX Runtime continues without an error.
        with contextlib.suppress(OSError, OverflowError):
            os.sched_setaffinity(0, {*cpus, *range(os.cpu_count() or 1)})
            granted.update(os.sched_getaffinity(0))

    thread = threading.Thread(target=probe)  # Affinity is set for each thread.
    thread.start()
    thread.join()
    if lacking := sorted(set(cpus) - granted):
        raise EngineError(
            f"affinity names CPU {_listed(lacking)}; this process may run on {_listed(granted)}"
        )


def _listed(cpus: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


def refuse_placement(options: EngineOptions, engine: str, memory: str) -> None:
    """Refuse options that choose CPUs or memory, for an engine that knows threads alone.

    Args:
        options: The options.
        engine: Name of the engine for people.
        memory: When the engine plans its memory, as in ``LiteRT plans its memory when it loads``.

    Raises:
        EngineError: ``affinity`` is given, or ``arena`` is false.
    """
    if options.affinity is not None:
        raise EngineError(
            f"{engine} cannot choose CPUs for its threads; isolated=True restricts its process to "
            "them"
        )
    if not options.arena:
        raise EngineError(f"{memory}; leave arena=False out")


def in_memory(path: Path) -> bytes:
    """Return the bytes of the artefact at ``path``.

    An open session uses these bytes, so that a later change of the file cannot affect it.

    Raises:
        EngineError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from error


def missing(package: str, extra: str) -> MissingDependencyError:
    """Return the error for an engine whose package is not installed."""
    return MissingDependencyError(
        f"{package} is not installed; pip install 'edgeexpo{extra}', or choose another `target`"
    )


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message, at most 240 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:240]


def closed(name: str) -> EngineError:
    """Return the error for a run after :meth:`Engine.close`."""
    return EngineError(f"the {name} engine is closed; load the bundle again")
