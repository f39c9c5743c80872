"""ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engine import Arrays, closed, first_line, missing
from edgeexpo.spec import ModelSpec


class OnnxEngine:
    """Runs a ``.onnx`` file with ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self, spec: ModelSpec, threads: int | None = None) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._threads = threads
        self._session: Any = None

    def load(self, path: Path) -> None:
        """Create the inference session."""
        options = _options()
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        self._session = _session(path, options)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the session once."""
        if self._session is None:
            raise closed(self.name)
        try:
            outputs = self._session.run(self._outputs, dict(inputs))
        except _failures() as error:
            raise EngineError(f"ONNX Runtime failed: {first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def optimised(path: Path) -> bytes:
    """The graph that ONNX Runtime makes of the ``.onnx`` file at ``path``, and runs, as a file.

    Raises:
        EngineError: ONNX Runtime refuses the file.
    """
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(written)
        _session(path, options)
        return written.read_bytes()


def _options() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", "") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


def _session(path: Path, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except _failures() as error:
        raise EngineError(f"ONNX Runtime cannot load {path.name}: {first_line(error)}") from error


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its own exceptions derive from Exception alone."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "RuntimeException")
    return (RuntimeError, ValueError, *(getattr(state, name) for name in names))
