"""ExecuTorch's Python runtime.

It links torch, so it is for desktops; devices use the C++ runtime.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    closed,
    first_line,
    in_memory,
    missing,
    refuse_placement,
)
from edgeexpo.silence import muted
from edgeexpo.spec import ModelSpec

_EXPORTER = "executorch.exir"


def bindings() -> Any:
    """Import ExecuTorch's native module without the messages of its CPU probe on stderr.

    Raises:
        MissingDependencyError: ExecuTorch is not installed.
    """
    try:
        importlib.import_module("torch")
        with muted(), _without_exporter():
            return importlib.import_module("executorch.extension.pybindings.portable_lib")
    except ImportError as error:
        raise missing("executorch", "[export]") from error


@contextlib.contextmanager
def _without_exporter() -> Iterator[None]:
    """Let the block import modules of ExecuTorch's exporter without the whole exporter.

    The native module of executorch 1.5.1 takes the class of a warning from ``executorch.exir``,
    whose import takes four times as long as that of torch.
    """
    found = None if _EXPORTER in sys.modules else importlib.util.find_spec(_EXPORTER)
    if found is None:
        yield
        return
    stand_in = ModuleType(_EXPORTER)
    stand_in.__path__ = list(found.submodule_search_locations or ())
    sys.modules[_EXPORTER] = stand_in
    try:
        yield
    finally:
        for name in [n for n in sys.modules if f"{n}.".startswith(f"{_EXPORTER}.")]:
            del sys.modules[name]


class ExecutorchEngine:
    """An engine for a ``.pte`` file: ExecuTorch with its XNNPACK delegate."""

    name = "executorch"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._inputs = [t.name for t in spec.inputs]
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._program: Any = None
        self._method: Any = None

    def load(self, path: Path) -> None:
        """Load the program and its ``forward``.

        Raises:
            MissingDependencyError: ExecuTorch is not installed.
            EngineError: ExecuTorch refuses the file, or does not support the options.
        """
        options = self._options
        refuse_placement(
            options, "ExecuTorch's Python runtime", "ExecuTorch plans its memory at export"
        )
        portable_lib = bindings()
        try:
            from executorch.runtime import Runtime
        except ImportError as error:
            raise missing("executorch", "[export]") from error
        with muted():  # the thread pool prints warnings of its CPU probe
            if options.threads is None:
                portable_lib._threadpool_get_thread_count()
            else:
                portable_lib._unsafe_reset_threadpool(options.threads)
        try:
            self._program = Runtime.get().load_program(in_memory(path))
            self._method = self._program.load_method("forward")
        except KeyError as error:
            raise EngineError(f"ExecuTorch finds no method 'forward' in {path.name}") from error
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EngineError(f"ExecuTorch cannot load {path.name}: {first_line(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Execute ``forward`` once, from and to NCHW float32, or frames in uint8, by name.

        Raises:
            EngineError: ExecuTorch failed, its outputs are not the manifest's, or the engine is
                closed.
        """
        import torch

        if self._method is None:
            raise closed(self.name)
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[n])) for n in self._inputs]
        try:
            outputs = self._method.execute(tensors)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EngineError(f"ExecuTorch failed: {first_line(error)}") from error
        kinds = [type(output).__name__ for output in outputs]
        if kinds != ["Tensor"] * len(self._outputs):
            raise EngineError(
                f"the program gives {', '.join(kinds) or 'nothing'}; its manifest promises "
                f"{len(self._outputs)} tensor(s): export the bundle again"
            )
        # The tensors belong to the method and are overwritten by its next run.
        plain = (o if o.dtype == torch.uint8 else o.to(torch.float32) for o in outputs)
        arrays = (np.array(output.numpy(), copy=True) for output in plain)
        return dict(zip(self._outputs, arrays, strict=True))

    def close(self) -> None:
        """Free the program."""
        self._method = self._program = None
