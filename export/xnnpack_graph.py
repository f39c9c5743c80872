"""The graphs that XNNPACK runs, as a ``.pte`` file stores them: operators with their data types."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BACKEND = "XnnpackBackend"

_INPUTS = tuple(f"input{n}_id" for n in ("", 1, 2, 3, 4, 5))
_INTEGER = frozenset(f"xnn_datatype_{kind}" for kind in ("qint8", "quint8", "qcint8"))
_NONE = 2**32 - 1


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        shape: At the largest size that the program takes; NHWC inside the graph.
        integer: It holds 8-bit codes.
    """

    shape: tuple[int, ...]
    integer: bool


@dataclass(frozen=True)
class Operator:
    """An operator of the graph.

    Attributes:
        name: XNNPACK's own, such as ``Conv2d``.
        reads: Tensors, weights after what they are applied to, biases left out.
        writes: The result.
    """

    name: str
    reads: tuple[Tensor, ...]
    writes: Tensor

    @property
    def integer(self) -> bool:
        """All it reads and what it writes are 8-bit codes."""
        return self.writes.integer and all(tensor.integer for tensor in self.reads)

    @property
    def converts(self) -> bool:
        """It quantises, or dequantises."""
        return self.name == "Convert"


def operators(delegate: bytes) -> Iterator[Operator]:
    """Operators of a delegate of :data:`BACKEND`, by the schema that the installed executorch has.

    Raises:
        ValueError: The bytes are no graph of this schema.
    """
    graph = _decoded(delegate)
    tensors = [_tensor(value["xvalue_union"]) for value in graph["xvalues"]]
    for node in graph["xnodes"]:
        given = node["xnode_union"]
        read = [given[key] for key in (*_INPUTS, "filter_id") if key in given]
        yield Operator(
            node["xnode_union_type"].removeprefix("XNN"),
            tuple(tensors[index] for index in _unpadded(node["xnode_union_type"], read)),
            tensors[given["output_id"]],
        )


def _unpadded(kind: str, indices: list[int]) -> list[int]:
    """Without the inputs that a concatenation of few has room for."""
    count = int(kind[-1]) if kind.startswith("XNNConcatenate") else len(indices)
    return [index for index in indices[:count] if index != _NONE]


def _tensor(value: dict[str, Any]) -> Tensor:
    plain = value.get("tensor_value", value)
    return Tensor(tuple(plain["dims"]), plain["datatype"] in _INTEGER)


def _decoded(delegate: bytes) -> dict[str, Any]:
    import executorch.backends.xnnpack.serialization as serialization
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(delegate[: XNNHeader.EXPECTED_LENGTH])
    start, size = header.flatbuffer_offset, header.flatbuffer_size
    schema = Path(next(iter(serialization.__path__))) / "runtime_schema.fbs"
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "graph.bin"
        binary.write_bytes(delegate[start : start + size])
        _flatc_decompile(folder, str(schema), str(binary), ["--raw-binary"])
        text = binary.with_suffix(".json").read_text("utf-8")
    # flatc writes infinities in a way that json does not read.
    found: dict[str, Any] = json.loads(re.sub(r"(?<=: )(-?)inf\b", r"\1Infinity", text))
    return found
