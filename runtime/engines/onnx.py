"""ONNX Runtime on the CPU."""

from __future__ import annotations

import ctypes
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    check_cpus,
    closed,
    first_line,
    in_memory,
    missing,
)
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import runner_named


class OnnxEngine:
    """An engine for a ``.onnx`` file: ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._session: Any = None

    def load(self, path: Path) -> None:
        """Create the inference session.

        Raises:
            MissingDependencyError: ONNX Runtime is not installed.
            EngineError: ONNX Runtime refuses the file, or does not support the options.
        """
        options, chosen = session_options(), self._options
        if chosen.threads is not None:
            options.intra_op_num_threads = chosen.threads
        if chosen.affinity is not None:
            options.add_session_config_entry(
                "session.intra_op_thread_affinities", _affinities(chosen.affinity, chosen.threads)
            )
        options.enable_cpu_mem_arena = options.enable_mem_pattern = chosen.arena
        self._session = _session(path, options)
        _open.add(self)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the session once, from and to NCHW float32 by name.

        Raises:
            EngineError: ONNX Runtime failed, or the engine is closed.
        """
        if self._session is None:
            raise closed(self.name)
        try:
            outputs = self._session.run(self._outputs, dict(inputs))
        except onnxruntime_failures() as error:
            raise EngineError(f"ONNX Runtime failed: {first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def outlive(self) -> None:
        """Keep the session alive for ever in a forked process, which lacks ONNX Runtime's threads.

        Freeing the session there, even at the end of the process, would wait for these threads or
        crash.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))


_open: weakref.WeakSet[OnnxEngine] = weakref.WeakSet()
"""Engines with a session, which a fork must not free."""


def _outlive() -> None:
    for engine in _open:
        engine.outlive()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_outlive)


def optimised(path: Path) -> bytes:
    """Return the graph that ONNX Runtime optimises and runs, as the bytes of a ``.onnx`` file.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        EngineError: ONNX Runtime refuses the file.
    """
    options = session_options()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(written)
        _session(path, options)
        return written.read_bytes()


def run_once(model: bytes, inputs: Arrays) -> dict[str, np.ndarray]:
    """Run a model in memory once as it is written, and return all of its outputs by name.

    Args:
        model: The bytes of an ``.onnx`` file.
        inputs: Arrays by input name.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        EngineError: ONNX Runtime does not load or run the model.
    """
    options = session_options()
    try:
        session = as_written(model, options)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except onnxruntime_failures() as error:
        raise EngineError(f"ONNX Runtime cannot run the model: {first_line(error)}") from error


def as_written(model: bytes, options: Any) -> Any:
    """Return a session on the CPU whose graph is that of the model, without optimisations.

    Args:
        model: The bytes of an ``.onnx`` file.
        options: The session's options, which are changed.
    """
    import onnxruntime

    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _on_cpu(model, options)


def _on_cpu(model: bytes, options: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )


def session_options() -> Any:
    """Return the options of every session: the format, exact kernels, and no log but of errors.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", "") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Without this entry ONNX Runtime also accepts its own format, whatever the file's name.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    for name, value in runner_named(OnnxEngine.name)[1].versions.options.items():
        options.add_session_config_entry(name, value)
    return options


def _affinities(cpus: tuple[int, ...], threads: int | None) -> str:
    """Return the CPUs, counted from 1, of each thread that ONNX Runtime starts.

    The calling thread is not among them.
    """
    if threads is None or threads < 2:
        raise EngineError(
            "with one thread ONNX Runtime runs on the caller's thread and keeps its affinity; "
            "ask for more threads, use isolated=True, or leave affinity out"
        )
    check_cpus(cpus)
    return ";".join([",".join(str(cpu + 1) for cpu in cpus)] * (threads - 1))


def _session(path: Path, options: Any) -> Any:
    model = in_memory(path)
    if any(mark in model for mark in _EXTERNAL):
        raise EngineError(
            f"{path.name} keeps tensors in another file, which no digest of the manifest covers; "
            "save the network as one file and export it again"
        )
    try:
        return _on_cpu(model, options)
    except onnxruntime_failures() as error:
        raise EngineError(f"ONNX Runtime cannot load {path.name}: {first_line(error)}") from error


# The key under which a tensor names its external file, after the key's length: protobuf ends every
# encoding of the length 8 with one of these bytes. ONNX Runtime 1.31 would read that file; for a
# model in memory, from the working directory. The search takes 1 ms per MB.
_EXTERNAL = (b"\x08location", b"\x00location")


def onnxruntime_failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that ONNX Runtime raises; its own derive from Exception alone."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception))
    return (RuntimeError, ValueError, MemoryError, *own)
