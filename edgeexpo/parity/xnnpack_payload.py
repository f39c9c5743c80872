"""XNNPACK's part of a ``.pte`` file, read and written without loss."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

XNNPACK = "XnnpackBackend"
"""Name of the delegate in a program."""


def tensor_of(value: Any) -> Any:
    """The tensor of one of the graph's values, quantised or not."""
    return getattr(value.xvalueUnion, "tensorValue", value.xvalueUnion)


def output_of(node: Any) -> int:
    """Number of the value that a node makes."""
    return int(node.outputId if hasattr(node, "outputId") else node.outputValueId)


def inputs_of(node: Any) -> list[int]:
    """Numbers of the values that a node reads; some may be none of the graph's."""
    names = (
        "inputId",
        "input1Id",
        "input2Id",
        "input3Id",
        "input4Id",
        "input5Id",
        "filterId",
        "biasId",
    )
    return [int(getattr(node, n)) for n in names if hasattr(node, n)]


def node_names() -> dict[int, str]:
    """XNNPACK's operators by the number that a graph's nodes give."""
    kinds = vars(_xnnpack_schema().XNodeUnion).items()
    return {v: k.removeprefix("XNN") for k, v in kinds if isinstance(v, int)}


@functools.cache
def _xnnpack_schema() -> ModuleType:
    """Readers and writers of XNNPACK payloads, generated from the schema that the wheel ships.

    flatc's own JSON is no way there and back: it prints numbers with six decimals, and a scale
    has its first significant digit in the third or later.
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
    # flatc defines the readers of unions under one spelling and calls them by another.
    readers = {k.lower(): v for k, v in vars(module).items() if k.endswith("Creator")}
    for name in ("XNodeUnionCreator", "XValueUnionCreator", "XNNQuantParamsCreator"):
        setattr(module, name, readers[name.lower()])
    return module


def read_graph(data: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """The payload's graph, and the function that writes a changed one with the same constants."""
    import flatbuffers  # type: ignore[import-untyped]
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader

    header = XNNHeader.from_bytes(data[: XNNHeader.EXPECTED_LENGTH])
    start = header.flatbuffer_offset
    body = data[start : start + header.flatbuffer_size]
    constants = data[header.constant_data_offset :][: header.constant_data_size]
    graph = _xnnpack_schema().XNNGraphT.InitFromPackedBuf(bytearray(body))

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
