"""Read the graph of a ``.tflite`` file from its flatbuffer: inputs, outputs and operators."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TFLITE_MAGIC = b"TFL3"
"""Magic number of a ``.tflite`` file, at byte 4."""

_CODES = frozenset(("INT8", "UINT8"))
_CONVERSIONS = frozenset(("Quantize", "Dequantize"))
_UNREADABLE = (struct.error, ValueError, TypeError, IndexError, AttributeError, OverflowError)
"""Errors that the generated readers raise on bytes that follow no schema."""


@dataclass(frozen=True)
class TfliteTensor:
    """A tensor of the graph.

    Attributes:
        name: The signature's name for inputs and outputs, otherwise the converter's name.
        shape: The shape at the size that was converted.
        dtype: The schema's name in lower case: ``float32``, ``int8``.
        constant: True when the file stores the tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool


@dataclass(frozen=True)
class TfliteOperator:
    """An operator of the graph.

    Attributes:
        name: The schema's name without underscores: ``Conv2d``, ``TransposeConv``.
        reads: The tensors that it reads, without biases and other parameters in INT32.
        writes: Its results.
    """

    name: str
    reads: tuple[TfliteTensor, ...]
    writes: tuple[TfliteTensor, ...]

    @property
    def integer(self) -> bool:
        """True when all tensors that it reads and writes are 8-bit codes."""
        tensors = (*self.reads, *self.writes)
        return bool(tensors) and all(t.dtype.upper() in _CODES for t in tensors)

    @property
    def converts(self) -> bool:
        """True when it quantises, dequantises, or changes the scale of codes."""
        return self.name in _CONVERSIONS


@dataclass(frozen=True)
class TfliteGraph:
    """The first graph of a ``.tflite`` file, with its signature's names."""

    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]


def read_tflite(path: Path) -> TfliteGraph:
    """Read the first graph of a ``.tflite`` file.

    Raises:
        ValueError: The file is not a LiteRT model.
        ImportError: ai-edge-litert is not installed.
    """
    from ai_edge_litert import schema_py_generated as schema

    data = path.read_bytes()
    if data[4:8] != TFLITE_MAGIC:
        raise ValueError(f"its magic number is not {TFLITE_MAGIC.decode()}")
    try:
        return _Reader(schema, schema.Model.GetRootAs(data, 0)).graph()
    except _UNREADABLE as error:
        raise ValueError(f"it follows no schema of LiteRT: {error}") from error


class _Reader:
    """A reader that turns the flatbuffer's records into values."""

    def __init__(self, schema: Any, model: Any) -> None:
        self._model, self._graph = model, model.Subgraphs(0)
        self._kinds = _names(schema.BuiltinOperator)
        self._dtypes = _names(schema.TensorType)

    def graph(self) -> TfliteGraph:
        """Return the first graph."""
        signature = self._model.SignatureDefs(0)
        inputs = (signature.Inputs(i) for i in range(signature.InputsLength()))
        outputs = (signature.Outputs(i) for i in range(signature.OutputsLength()))
        operators = (self._graph.Operators(i) for i in range(self._graph.OperatorsLength()))
        return TfliteGraph(
            tuple(self._tensor(t.TensorIndex(), t.Name().decode()) for t in inputs),
            tuple(self._tensor(t.TensorIndex(), t.Name().decode()) for t in outputs),
            tuple(self._operator(o) for o in operators),
        )

    def _operator(self, record: Any) -> TfliteOperator:
        code = self._model.OperatorCodes(record.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = "".join(part.capitalize() for part in self._kinds[kind].split("_"))
        return TfliteOperator(
            code.CustomCode().decode() if name == "Custom" else name,
            self._tensors(record.Inputs(i) for i in range(record.InputsLength())),
            self._tensors(record.Outputs(i) for i in range(record.OutputsLength())),
        )

    def _tensors(self, indices: Iterable[int]) -> tuple[TfliteTensor, ...]:
        found = (self._tensor(int(i)) for i in indices if i >= 0)
        return tuple(t for t in found if t.dtype != "int32")

    def _tensor(self, index: int, name: str | None = None) -> TfliteTensor:
        record = self._graph.Tensors(index)
        return TfliteTensor(
            (record.Name() or b"").decode() if name is None else name,
            tuple(int(record.Shape(i)) for i in range(record.ShapeLength())),
            self._dtypes[record.Type()].lower(),
            self._model.Buffers(record.Buffer()).DataLength() > 0,
        )


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}
