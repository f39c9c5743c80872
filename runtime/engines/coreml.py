"""Apple's Core ML runtime, on macOS."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    closed,
    first_line,
    missing,
)
from edgeexpo.spec import ModelSpec


class CoremlEngine:
    """An engine for an ``.mlpackage``; Apple chooses between CPU, GPU and Neural Engine."""

    name = "coreml"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._model: Any = None

    def load(self, path: Path) -> None:
        """Compile and load the package.

        Raises:
            MissingDependencyError: This is not macOS, or coremltools is not installed.
            EngineError: Core ML refuses the package, or the options choose CPUs or memory.
        """
        if sys.platform != "darwin":
            raise MissingDependencyError(
                "Core ML runs on macOS only; on this host 'edgeexpo run' and 'edgeexpo parity' "
                "interpret the package, or choose `target='onnx'`"
            )
        if self._options.affinity is not None or not self._options.arena:
            raise EngineError("Core ML chooses CPUs and memory itself; leave the options out")
        try:
            import coremltools
        except ImportError as error:
            raise missing("coremltools", "[export]") from error
        try:
            self._model = coremltools.models.MLModel(str(path))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Core ML cannot load {path.name}: {first_line(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Predict once, from and to NCHW float32, or images as HxWx3 uint8, by name.

        Raises:
            EngineError: Core ML failed, or the engine is closed.
        """
        if self._model is None:
            raise closed(self.name)
        try:
            found = self._model.predict({n: _as_image(a) for n, a in inputs.items()})
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Core ML failed: {first_line(error)}") from error
        return {name: _from_image(found[name]) for name in self._outputs}

    def close(self) -> None:
        """Free the model."""
        self._model = None


def _as_image(array: np.ndarray) -> Any:
    """Return an image of Pillow for HxWx3 uint8, as Core ML takes it, and other arrays as is."""
    if array.dtype != np.uint8:
        return array
    from PIL import Image

    return Image.fromarray(array)


def _from_image(value: Any) -> np.ndarray:
    """Return an image of Pillow as HxWx3 uint8, and anything else as float32."""
    if hasattr(value, "convert"):
        return np.asarray(value.convert("RGB"), np.uint8)
    return np.asarray(value, np.float32)
