"""Engines: what runs one artefact. Arrays in, arrays out; everything else is the session's."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError, UsageError
from edgeexpo.spec import ModelSpec

Arrays = Mapping[str, np.ndarray]

ENGINES: Mapping[str, str] = types.MappingProxyType(
    {
        "onnx": "edgeexpo.runtime.engines.onnx:OnnxEngine",
        "executorch": "edgeexpo.runtime.engines.executorch:ExecutorchEngine",
        "coreml": "edgeexpo.runtime.engines.coreml:CoremlEngine",
        "litert": "edgeexpo.runtime.engines.litert:LitertEngine",
    }
)
"""Target -> class that runs its artefacts; imported on use."""


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
        target: One of :data:`edgeexpo.spec.TARGETS`.
        path: The artefact, already checked against its digest.
        spec: The model; engines without named inputs take them in its order.
        options: Threads, CPUs and memory.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or cannot do what the options ask for.
    """
    module, _, name = ENGINES[target].partition(":")
    engine: Any = getattr(importlib.import_module(module), name)(spec, options)
    engine.load(path)
    return engine  # type: ignore[no-any-return]


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
