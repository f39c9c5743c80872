"""XNNPACK's part of a ``.pte`` file: it is read, written without loss, and its operators listed."""

from __future__ import annotations

import functools
import importlib.util
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

XNNPACK = "XnnpackBackend"
"""Name of the XNNPACK delegate in a program."""

_INPUTS = tuple(f"input{n}Id" for n in ("", 1, 2, 3, 4, 5))
_INTEGER = ("qint8", "quint8", "qcint8")
_NONE = 2**32 - 1
"""Number that stands for a missing input of a node."""

_UNREADABLE = (struct.error, ValueError, TypeError, IndexError, AttributeError)
"""Errors that the generated readers raise on bytes that follow no schema."""


@dataclass(frozen=True)
class XnnpackTensor:
    """A tensor of the graph.

    Attributes:
        shape: The shape at the largest size that the program takes; NHWC inside the graph.
        integer: True when the tensor holds 8-bit codes.
    """

    shape: tuple[int, ...]
    integer: bool


@dataclass(frozen=True)
class XnnpackOperator:
    """An operator of the graph.

    Attributes:
        name: XNNPACK's name, such as ``Conv2d``.
        reads: The tensors that it reads: first its inputs, then its weights; biases are left out.
        writes: Its result.
    """

    name: str
    reads: tuple[XnnpackTensor, ...]
    writes: XnnpackTensor

    @property
    def integer(self) -> bool:
        """True when all tensors that it reads and writes are 8-bit codes."""
        return self.writes.integer and all(tensor.integer for tensor in self.reads)

    @property
    def converts(self) -> bool:
        """True when it quantises or dequantises."""
        return self.name == "Convert"


def xnnpack_operators(delegate: bytes) -> tuple[XnnpackOperator, ...]:
    """Return the operators of an XNNPACK delegate, by the schema of the installed executorch.

    Raises:
        ValueError: The bytes are not a graph of this schema.
    """
    graph, _ = read_graph(delegate)
    try:
        codes = {getattr(_schema().XNNDatatype, f"xnn_datatype_{kind}") for kind in _INTEGER}
        tensors = {
            tensor.idOut: XnnpackTensor(tuple(map(int, tensor.dims)), tensor.datatype in codes)
            for tensor in map(tensor_of, graph.xvalues)
        }
        return tuple(
            XnnpackOperator(
                name_of(node),
                tuple(tensors[i] for i in (*inputs_of(node), *weights_of(node))),
                tensors[output_of(node)],
            )
            for node in graph.xnodes
        )
    except (KeyError, *_UNREADABLE) as error:
        raise ValueError(f"no graph of XNNPACK: {error}") from error


def name_of(node: Any) -> str:
    """Return XNNPACK's name of a node's operator, such as ``Conv2d``."""
    return _names()[node.xnodeUnionType]


def tensor_of(value: Any) -> Any:
    """Return the tensor of one of the graph's values, quantised or not."""
    return getattr(value.xvalueUnion, "tensorValue", value.xvalueUnion)


def output_of(node: Any) -> int:
    """Return the number of the value that a node makes."""
    union = node.xnodeUnion
    return int(union.outputId if hasattr(union, "outputId") else union.outputValueId)


def inputs_of(node: Any) -> list[int]:
    """Return the numbers of the values that a node takes as inputs."""
    given = [int(getattr(node.xnodeUnion, n)) for n in _INPUTS if hasattr(node.xnodeUnion, n)]
    name = name_of(node)
    # All concatenations share one table, which has room for the inputs of the largest.
    count = int(name[-1]) if name.startswith("Concatenate") else len(given)
    return [index for index in given[:count] if index != _NONE]


def weights_of(node: Any) -> list[int]:
    """Return the number of the value that holds a node's weights, if any; a bias does not count."""
    return [int(node.xnodeUnion.filterId)] if hasattr(node.xnodeUnion, "filterId") else []


def read_graph(data: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """Return the payload's graph, and a function that writes a changed graph.

    The written payload has the same constants.

    Raises:
        ValueError: The bytes are not a graph of the installed executorch's schema.
    """
    import flatbuffers  # type: ignore[import-untyped]
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader

    header = XNNHeader.from_bytes(data[: XNNHeader.EXPECTED_LENGTH])
    start = header.flatbuffer_offset
    body = data[start : start + header.flatbuffer_size]
    constants = data[header.constant_data_offset :][: header.constant_data_size]
    try:
        graph = _schema().XNNGraphT.InitFromPackedBuf(bytearray(body))
    except _UNREADABLE as error:
        raise ValueError(f"no graph of XNNPACK: {error}") from error

    def write(changed: Any) -> bytes:
        builder = flatbuffers.Builder(len(body) * 2)
        builder.Finish(changed.Pack(builder), file_identifier=body[4:8])
        packed = bytes(builder.Output())
        padded = packed + bytes(-len(packed) % 16)
        place = -(-XNNHeader.EXPECTED_LENGTH // 16) * 16
        fresh = XNNHeader(place, len(packed), place + len(padded), len(constants))
        header_bytes: bytes = fresh.to_bytes()
        return header_bytes.ljust(place, b"\0") + padded + constants

    return graph, write


@functools.cache
def _names() -> dict[int, str]:
    kinds = vars(_schema().XNodeUnion).items()
    return {v: k.removeprefix("XNN") for k, v in kinds if isinstance(v, int)}


@functools.cache
def _schema() -> ModuleType:
    """Return readers and writers of XNNPACK payloads, generated from the schema in the wheel.

    flatc's own JSON is not lossless: it prints numbers with six decimals, and the first significant
    digit of a scale is the third decimal or later.
    """
    import executorch.backends.xnnpack.serialization as serialization
    from executorch.exir._serialize._flatbuffer import _run_flatc

    schema = Path(next(iter(serialization.__path__))) / "schema.fbs"
    with tempfile.TemporaryDirectory() as folder:
        _run_flatc(["--python", "--gen-onefile", "--gen-object-api", "-o", folder, str(schema)])
        path = Path(folder) / "schema_generated.py"
        spec = importlib.util.spec_from_file_location("edgeexpo_xnnpack_schema", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    # flatc defines the readers of unions with one spelling and calls them with another.
    readers = {k.lower(): v for k, v in vars(module).items() if k.endswith("Creator")}
    for name in ("XNodeUnionCreator", "XValueUnionCreator", "XNNQuantParamsCreator"):
        setattr(module, name, readers[name.lower()])
    return module
