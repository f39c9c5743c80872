"""Run a saved ``.mlpackage`` on any host: its MIL program, operator by operator, in torch.

Weights are read from the package on disk. Every result that the program declares as fp16 is rounded
to fp16. This proves that the saved artefact means what the float program means. It says nothing
about the kernels of Apple's CPU, GPU or Neural Engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeexpo.coremltools_import import light_coremltools
from edgeexpo.errors import EngineError
from edgeexpo.failures import described
from edgeexpo.mil.ops import IN_PLACE, OPERATORS, ROUNDING_KEPT, SHARING
from edgeexpo.mlpackage import read_package
from edgeexpo.runtime.engines import worker_process
from edgeexpo.runtime.engines.base import DEFAULTS, EngineOptions
from edgeexpo.silence import quiet
from edgeexpo.spec import ModelSpec

Value = Any
"""A value that a MIL operator takes: a tensor, a string, or a list of tensors."""


class MilEngine:
    """An engine that interprets an mlprogram. It implements :class:`edgeexpo.runtime.Engine`.

    Attributes:
        operators: Number of operators of each type in the program, without constants.
        nonfinite: Operator ("type name") -> number of runs since ``load`` in which its fp16 result
            was not finite.
        observer: Function called with every operator, result variable and result during a run. The
            engine may overwrite the result afterwards, so an observer that keeps it must copy it.
    """

    name = "mil-interpreter"

    def __init__(self, spec: ModelSpec | None = None, options: EngineOptions = DEFAULTS) -> None:
        self.operators: Counter[str] = Counter()
        self.nonfinite: Counter[str] = Counter()
        self.observer: Callable[[Any, Any, Value], None] | None = None
        self._function: Any = None
        self._operations: list[Any] = []
        self._constants: dict[Any, Value] = {}
        self._last_use: dict[Any, int] = {}
        self._owned: set[Any] = set()
        self._accepted: dict[str, _Accepted] = {}
        self._images: set[str] = set()

    def load(self, path: Path) -> None:
        """Read the package at ``path`` and its weights.

        Raises:
            EngineError: The package is not a readable mlprogram, or the interpreter does not know
                one of its operators.
        """
        with quiet():
            with light_coremltools(converts=not worker_process.serving):
                from coremltools.converters.mil.frontend.milproto.load import load as read_program

            try:
                package = read_package(path)
                spec = package.spec
                program = read_program(
                    spec,
                    specification_version=spec.specificationVersion,
                    file_weights_dir=str(package.weights),
                )
            except Exception as error:  # coremltools raises anything for a damaged program
                raise EngineError(
                    f"{path.name} is not a readable mlprogram: {described(error)}"
                ) from error
        self._function = program.functions[next(iter(program.functions))]
        self._accepted = {i.name: _Accepted(i.type) for i in spec.description.input}
        self._images = {
            o.name for o in spec.description.output if o.type.WhichOneof("Type") == "imageType"
        }
        operations = [op for op in self._function.operations if op.op_type != "const"]
        self.operators = Counter(op.op_type for op in operations)
        unknown = sorted(set(self.operators) - set(OPERATORS))
        if unknown:
            raise EngineError(
                f"{path.name} has operators that the MIL interpreter does not know: "
                f"{', '.join(unknown)}; verify it on macOS, where Apple's runtime takes its place"
            )
        self.nonfinite.clear()
        self._constants.clear()
        self._last_use = {v: i for i, op in enumerate(operations) for v in _inputs(op)}
        self._owned = _owned(operations, self._function.outputs)
        self._operations = operations

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the program once.

        Args:
            inputs: Input name -> NCHW array, converted to float32, or HxWx3 uint8 for an image.

        Returns:
            Output name -> float32 array, or HxWx3 uint8 for an image.

        Raises:
            EngineError: The engine is closed, an input is missing, the package does not accept an
                input's shape, or an operator fails.
        """
        if self._function is None:
            raise EngineError("the mil-interpreter engine is closed; load the bundle again")
        environment: dict[Any, Value] = {
            variable: _round(_picture(self._input(inputs, name)), variable)
            for name, variable in self._function.inputs.items()
        }
        with torch.no_grad():
            for index, op in enumerate(self._operations):
                if op.outputs[0] not in self._constants:
                    self._step(op, index, environment)
        found = {v.name: environment[v].float() for v in self._function.outputs}
        return {
            name: _codes(value) if name in self._images else value.contiguous().numpy()
            for name, value in found.items()
        }

    def close(self) -> None:
        """Free the program and its weights."""
        self._function = None
        self._operations = []
        self._owned = set()
        self._last_use = {}
        self._constants.clear()

    def _input(self, inputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        if name not in inputs:
            raise EngineError(f"input {name!r} is missing; found {', '.join(inputs) or 'none'}")
        accepted, array = self._accepted[name], inputs[name]
        if accepted.image and array.ndim == 3:
            array = array.transpose(2, 0, 1)[None]
        if not accepted(array.shape):
            found = "x".join(map(str, inputs[name].shape))
            raise EngineError(f"input {name!r} is {found}; the package accepts {accepted}")
        return array

    def _step(self, op: Any, index: int, environment: dict[Any, Value]) -> None:
        arguments = {
            name: self._value(variable, environment)
            for name, variable in op.inputs.items()
            if variable is not None
        }
        operator = OPERATORS[op.op_type]
        if op.op_type in IN_PLACE:
            first = op.inputs["x"] if "x" in op.inputs else op.inputs["input"]
            if first in self._owned and self._last_use[first] == index:
                operator = IN_PLACE[op.op_type]
        try:
            results = operator(arguments)
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
            raise EngineError(f"MIL {op.op_type} {op.name!r} failed: {error}") from error
        several = isinstance(results, (list, tuple))
        for variable, result in zip(op.outputs, results if several else [results], strict=True):
            self._keep(op, variable, result, environment)
        for variable in _inputs(op):
            if self._last_use[variable] == index and variable not in self._function.outputs:
                environment.pop(variable, None)

    def _keep(self, op: Any, variable: Any, result: Value, environment: dict[Any, Value]) -> None:
        if op.op_type.startswith("constexpr_"):
            self._constants[variable] = _laid_out(_round(result, variable))
        elif op.op_type in ROUNDING_KEPT:
            environment[variable] = result
        else:
            environment[variable] = _round(result, variable, own=op.op_type not in SHARING)
            if _is_half(variable) and not _finite(environment[variable]):
                self.nonfinite[f"{op.op_type} {op.name}"] += 1
        if self.observer is not None and variable in environment:
            self.observer(op, variable, environment[variable])

    def _value(self, variable: Any, environment: dict[Any, Value]) -> Value:
        if isinstance(variable, (list, tuple)):
            return [self._value(v, environment) for v in variable]
        if variable in environment:
            return environment[variable]
        if variable not in self._constants:
            value = variable.val if variable.val is not None else variable.op.val.val
            self._constants[variable] = _laid_out(_constant(value))
        return self._constants[variable]


class _Accepted:
    """The shapes that a package accepts for one input: a list of shapes, a range, or one shape."""

    def __init__(self, kind: Any) -> None:
        self.image = kind.WhichOneof("Type") == "imageType"
        if self.image:
            self._range: list[tuple[int, int]] = []
            self._shapes = [(1, 3, kind.imageType.height, kind.imageType.width)]
            return
        array = kind.multiArrayType
        self._shapes = [tuple(s.shape) for s in array.enumeratedShapes.shapes]
        self._range = [(r.lowerBound, r.upperBound) for r in array.shapeRange.sizeRanges]
        if not self._shapes and not self._range:
            self._shapes = [tuple(array.shape)]

    def __call__(self, shape: tuple[int, ...]) -> bool:
        if self._shapes:
            return tuple(shape) in self._shapes
        # Core ML writes -1 as the upper bound of a range without end.
        return len(shape) == len(self._range) and all(
            low <= side and (high < 0 or side <= high)
            for side, (low, high) in zip(shape, self._range, strict=True)
        )

    def __str__(self) -> str:
        if self._shapes:
            return " or ".join("x".join(map(str, s)) for s in self._shapes)
        return "x".join(f"{a}" if a == b else f"{a}..{b}" for a, b in self._range)


def _owned(operations: list[Any], outputs: list[Any]) -> set[Any]:
    """Return the results that share their memory with no other value.

    The last operator that reads such a result may overwrite it.
    """
    shared = {v for op in operations if op.op_type in SHARING for v in _inputs(op)}
    made = {
        v
        for op in operations
        if op.op_type not in SHARING and not op.op_type.startswith("constexpr_")
        for v in op.outputs
    }
    return made - shared - set(outputs)


def _inputs(op: Any) -> list[Any]:
    found: list[Any] = []
    for value in op.inputs.values():
        found.extend(value if isinstance(value, (list, tuple)) else [value])
    return [v for v in found if v is not None]


def _picture(array: np.ndarray) -> torch.Tensor:
    laid_out: torch.Tensor = _laid_out(
        torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    )
    return laid_out


def _codes(planes: torch.Tensor) -> np.ndarray:
    """Return planes 1x3xHxW in 0 to 255 as an image, HxWx3 uint8, rounded to the nearest."""
    codes: np.ndarray = planes[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).numpy()
    return codes


def _laid_out(value: Value) -> Value:
    """Return a 4-D tensor (picture or kernel) in channels-last layout, others unchanged.

    In this layout torch's convolutions are fastest on a CPU.
    """
    if isinstance(value, torch.Tensor) and value.dim() == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _is_half(variable: Any) -> bool:
    return getattr(variable.dtype, "__name__", "") == "fp16"


def _finite(value: torch.Tensor) -> bool:
    # The sum needs one pass. fp16 numbers are too small for a picture's float32 sum to overflow.
    return bool(torch.isfinite(value.sum()))


def _round(result: Value, variable: Any, own: bool = False) -> Value:
    """Round the result to fp16 if ``variable`` is declared fp16.

    Other results are unchanged. The rounded numbers are stored as float32, because torch computes
    faster in float32. With ``own``, the result is overwritten.
    """
    if isinstance(result, torch.Tensor) and result.dtype == torch.float32 and _is_half(variable):
        return result.copy_(result.half()) if own else result.half().float()
    return result


def _constant(value: Any) -> Value:
    if isinstance(value, (str, bytes, bool)):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        return str(array.reshape(-1)[0]) if array.size == 1 else [str(v) for v in array.reshape(-1)]
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.int32)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    shape = array.shape  # kept because ascontiguousarray turns a scalar into a vector
    return torch.from_numpy(np.ascontiguousarray(array)).reshape(shape)
