"""ExecuTorch's Python runtime: for desktops, since it links torch; devices use the C++ one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engine import Arrays, closed, first_line, missing
from edgeexpo.spec import ModelSpec


class ExecutorchEngine:
    """Runs a ``.pte`` file with ExecuTorch and its XNNPACK delegate."""

    name = "executorch"

    def __init__(self, spec: ModelSpec, threads: int | None = None) -> None:
        self._inputs = [t.name for t in spec.inputs]
        self._outputs = [t.name for t in spec.outputs]
        self._threads = threads
        self._program: Any = None
        self._method: Any = None

    def load(self, path: Path) -> None:
        """Load the program and its ``forward``."""
        try:
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime
        except ImportError as error:
            raise missing("executorch", "[export]") from error
        if self._threads is not None:
            portable_lib._unsafe_reset_threadpool(self._threads)
        try:
            self._program = Runtime.get().load_program(path)
            self._method = self._program.load_method("forward")
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"ExecuTorch cannot load {path.name}: {first_line(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Execute ``forward`` once."""
        import torch

        if self._method is None:
            raise closed(self.name)
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[n])) for n in self._inputs]
        try:
            outputs = self._method.execute(tensors)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"ExecuTorch failed: {first_line(error)}") from error
        # The tensors belong to the method and are overwritten by its next run.
        arrays = (np.array(output.numpy(), copy=True) for output in outputs)
        return dict(zip(self._outputs, arrays, strict=True))

    def close(self) -> None:
        """Free the program."""
        self._method = self._program = None
