"""Runs of an ONNX graph that give chosen values, with or without graph optimisations.

``debug`` traces graphs whose every value is an output. These runs may happen on another machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import Arrays, first_line, in_memory
from edgeexpo.runtime.engines.onnx import onnxruntime_failures, session_options


def run_taps(
    path: Path, inputs: Arrays, wanted: Sequence[str], optimised: bool
) -> dict[str, np.ndarray]:
    """Run a graph once in ONNX Runtime and return outputs by name, in their own types.

    Args:
        path: The ``.onnx`` file.
        inputs: NCHW float32 by input name.
        wanted: Names of outputs of the graph.
        optimised: False to compute every node as it stands in the file.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        EngineError: ONNX Runtime refuses the file, or fails.
    """
    options: Any = session_options()
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    try:
        session = onnxruntime.InferenceSession(
            in_memory(path), options, providers=["CPUExecutionProvider"]
        )
        return dict(zip(wanted, session.run(list(wanted), dict(inputs)), strict=True))
    except onnxruntime_failures() as error:
        raise EngineError(f"ONNX Runtime cannot trace {path.name}: {first_line(error)}") from error
