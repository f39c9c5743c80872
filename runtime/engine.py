"""Engines: what runs one artefact. Arrays in, arrays out; everything else is the session's."""

from __future__ import annotations

import importlib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.spec import ModelSpec

Arrays = Mapping[str, np.ndarray]

ENGINES: Mapping[str, str] = types.MappingProxyType(
    {
        "onnx": "edgeexpo.runtime.onnx_engine:OnnxEngine",
        "executorch": "edgeexpo.runtime.executorch_engine:ExecutorchEngine",
        "coreml": "edgeexpo.runtime.coreml_engine:CoremlEngine",
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
        """Run once: NCHW float32 by input name to NCHW float32 by output name."""

    def close(self) -> None:
        """Free the engine; calling it twice is harmless."""


def open_engine(target: str, path: Path, spec: ModelSpec, threads: int | None = None) -> Engine:
    """Load the artefact at ``path`` into the engine of ``target``.

    Args:
        target: One of :data:`edgeexpo.spec.TARGETS`.
        path: The artefact, already checked against its digest.
        spec: The model; engines without named inputs take them in its order.
        threads: Threads for one run; ``None`` leaves the choice to the engine.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact.
    """
    module, _, name = ENGINES[target].partition(":")
    engine: Any = getattr(importlib.import_module(module), name)(spec, threads)
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
        f"{package} is not installed; pip install 'edgeexpo{extra}', or choose another --target"
    )


def first_line(error: BaseException) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:240]


def closed(name: str) -> EngineError:
    """The error for a run after close."""
    return EngineError(f"the {name} engine is closed; load the bundle again")
