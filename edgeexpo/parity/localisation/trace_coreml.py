"""Intermediate values of an ``.mlpackage``, traced by the MIL interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.parity.localisation.trace import COPY, Grid, Traced, kind
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.spec import ModelSpec, SizeRange

_COPIES = frozenset(("cast",))


class CoremlTracer:
    """Interprets the saved package and keeps every value."""

    engine = "mil-interpreter"
    caveat = "the package's meaning, not the kernels of Apple's CPU, GPU or Neural Engine"

    def __init__(self, spec: ModelSpec, sizes: SizeRange) -> None:
        """Made as every tracer is; the package itself says all that this one needs."""

    def __call__(self, path: Path, inputs: Arrays) -> list[Traced]:
        """Interpret the package once; see :class:`edgeexpo.parity.localisation.trace.Tracer`."""
        traced: list[Traced] = []
        sources: dict[str, tuple[str, ...]] = {}

        def observe(op: Any, variable: Any, result: Any) -> None:
            read = [v.name for given in op.inputs.values() for v in _variables(given)]
            known = [name for name in read if name in sources or name in inputs]
            through = tuple(dict.fromkeys(s for n in known for s in sources.get(n, (n,))))
            if not _is_real(op, result):
                sources[variable.name] = through
                return
            sources[variable.name] = (variable.name,)
            word = COPY if op.op_type in _COPIES else kind(op.op_type)
            array = np.array(result.numpy(), np.float32, copy=True, order="C")
            half = getattr(variable.dtype, "__name__", "") == "fp16"
            traced.append(
                Traced(variable.name, op.op_type, (word,), through, array, _grid(op), half)
            )

        engine = MilEngine()
        engine.load(path)
        engine.observer = observe
        try:
            engine.run(inputs)
        finally:
            engine.close()
        return traced


def _variables(given: Any) -> list[Any]:
    return [v for v in (given if isinstance(given, (list, tuple)) else [given]) if v is not None]


def _is_real(op: Any, result: Any) -> bool:
    """Return true for real numbers: float32 tensors that ``quantize`` did not make.

    The interpreter holds integer codes in float32 as well.
    """
    real = isinstance(result, torch.Tensor) and result.dtype == torch.float32
    return real and op.op_type != "quantize"


def _grid(op: Any) -> Grid | None:
    if op.op_type != "dequantize":
        return None
    stored = op.inputs["scale"].val, getattr(op.inputs.get("zero_point"), "val", 0)
    if any(np.size(part) != 1 for part in stored):
        return None
    scale, zero_point = (np.asarray(part).reshape(-1)[0] for part in stored)
    from coremltools.converters.mil.mil.types import builtin_to_string

    unsigned = builtin_to_string(op.inputs["input"].dtype) == "uint8"
    low, high = (0, 255) if unsigned else (-128, 127)
    return Grid(float(scale), int(zero_point), low, high)
