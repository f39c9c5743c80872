"""Counts of integer and float operators, in the graph that an engine really runs.

The exported file is not always that graph:

- ONNX Runtime fuses quantise/dequantise pairs into integer kernels when it loads a file. Where it
  cannot fuse a pair, it drops it.
- ExecuTorch has given XNNPACK its own graph.
- Core ML computes a convolution on integers if its input, weights and result are quantised in the
  MIL program.
- LiteRT runs the operators of the file, in the types that the file states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.inspection.pte import PteProgram, read_pte
from edgeexpo.inspection.tflite import TfliteGraph, read_tflite
from edgeexpo.mlpackage import read_package
from edgeexpo.runtime.engines.onnx import optimised
from edgeexpo.targets import resolve, target_named

_WEIGHTED = ("conv", "matmul", "gemm", "fullyconnected")
"""Parts of the names of operators with weights, in lower case."""

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_ORDERING = frozenset(
    ("Transpose", "ReorderInput", "ReorderOutput", "StaticTranspose", "StaticReshape", "Copy")
) | {"cast", "const"}
"""Operators that only move numbers for the engine; they are not counted."""

_FOLLOWING = ("relu", "crop")
"""MIL operators that compute on codes whenever the operator before them does."""

_DATA = ("x", "y", "weight", "values")
"""Names of the tensor inputs of MIL operators; biases are always float and not listed."""


@dataclass(frozen=True)
class Census:
    """Counts of the operators of an engine's own graph, by name.

    Attributes:
        engine: ``onnxruntime``, ``xnnpack``, ``coreml`` or ``litert``.
        integer: Operators that read and write only 8-bit codes.
        floating: All other operators.
        conversions: Number of quantise and dequantise steps that remain between the two.
        portable: The operators of ``floating`` outside every delegate of a ``.pte``.
    """

    engine: str
    integer: Mapping[str, int]
    floating: Mapping[str, int]
    conversions: int
    portable: Mapping[str, int]

    @property
    def integer_weighted(self) -> int:
        """Number of convolutions, transposed convolutions and matrix products on integers."""
        return sum(n for name, n in self.integer.items() if is_weighted_kind(name))

    @property
    def float_weighted(self) -> int:
        """Number of convolutions, transposed convolutions and matrix products in float."""
        return sum(n for name, n in self.floating.items() if is_weighted_kind(name))


def is_weighted_kind(name: str) -> bool:
    """Return true for the name, in any engine, of a convolution or a matrix product."""
    stem = name.lower()
    return stem != "convert" and (stem == "linear" or any(part in stem for part in _WEIGHTED))


def onnxruntime_census(path: Path) -> Census:
    """Count the operators of the graph that ONNX Runtime makes of an ``.onnx`` file on this host.

    Raises:
        EngineError: ONNX Runtime does not load the file.
    """
    import onnx

    model = onnx.load_from_string(optimised(path))
    constants = {i.name for i in model.graph.initializer}
    codes: set[str] = set()
    integer, floating, conversions = Counter[str](), Counter[str](), 0
    for node in model.graph.node:
        name = node.op_type
        read = [i for i in node.input if i and i not in constants]
        exact = name.startswith("QLinear") or (bool(read) and codes.issuperset(read))
        if name in (_QUANTIZE, _DEQUANTIZE):
            conversions += 1
        elif name not in _ORDERING:
            (integer if exact else floating)[name] += 1
        if name == _QUANTIZE or (exact and name != _DEQUANTIZE):
            codes.update(node.output)
    return Census("onnxruntime", _sorted(integer), _sorted(floating), conversions, {})


def executorch_census(path: Path) -> Census:
    """Count the operators of a ``.pte`` file, as :func:`pte_census` does.

    Raises:
        ValueError: The file is not an ExecuTorch program.
    """
    return pte_census(read_pte(path))


def pte_census(program: PteProgram) -> Census:
    """Count the operators of a ``.pte`` program's XNNPACK delegates and its portable kernels.

    A delegate to another backend cannot be read. It counts as one float operator.
    """
    integer, floating = Counter[str](), Counter[str]()
    portable = Counter(name for name, _ in program.kernels)
    conversions = 0
    for delegate in program.called:
        if delegate.operators is None:
            floating[delegate.backend] += 1
            continue
        for operator in delegate.operators:
            if operator.converts:
                conversions += 1
            elif operator.name not in _ORDERING:
                (integer if operator.integer else floating)[operator.name] += 1
    return Census(
        "xnnpack", _sorted(integer), _sorted(floating + portable), conversions, _sorted(portable)
    )


def coreml_census(path: Path) -> Census:
    """Count the operators of the MIL program of an ``.mlpackage``.

    An operator counts as an integer operator under two conditions. Everything that it reads was
    just dequantised (weights by a ``constexpr`` operator). Its result is quantised at once, with at
    most a ReLU and a crop before.

    ``conversions`` counts the steps that such operators do not absorb. The file does not show what
    Apple's hardware makes of the program.
    """
    function = read_package(path).spec.mlProgram.functions["main"]
    program = _Mil(function.block_specializations[function.opset].operations)
    counted: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    conversions = 0
    for op in program.operations:
        if op.type in ("quantize", "dequantize"):
            conversions += not program.absorbed(op)
        elif op.type not in _ORDERING and not op.type.startswith("constexpr"):
            counted[program.exact(op)][op.type] += 1
    return Census("coreml", _sorted(counted[True]), _sorted(counted[False]), conversions, {})


class _Mil:
    """The operations of a MIL block, with the maker and the readers of each tensor."""

    def __init__(self, operations: Iterable[Any]) -> None:
        self.operations = list(operations)
        self._makers = {o.name: op for op in self.operations for o in op.outputs}
        self._readers: dict[str, list[Any]] = {}
        for op in self.operations:
            for argument in _names(op, op.inputs):
                self._readers.setdefault(argument, []).append(op)

    def exact(self, op: Any) -> bool:
        """Return true for an operation between codes, or a ReLU or a crop directly after one."""
        sources = [self._makers.get(name) for name in _names(op, _DATA)]
        if op.type in _FOLLOWING and len(sources) == 1 and sources[0] is not None:
            (source,) = sources
            if len(self._users(source)) == 1 and self.exact(source):
                return True
        users = self._users(op)
        while len(users) == 1 and users[0].type in _FOLLOWING:
            users = self._users(users[0])
        return (
            bool(sources)
            and all(s is not None and _gives_codes(s) for s in sources)
            and bool(users)
            and all(user.type == "quantize" for user in users)
        )

    def absorbed(self, conversion: Any) -> bool:
        """Return true for a quantiser after, or a dequantiser before, integer operators only."""
        if conversion.type == "dequantize":
            return all(self.exact(user) for user in self._users(conversion))
        (source,) = (self._makers.get(name) for name in _names(conversion, ("input",)))
        return source is not None and self.exact(source)

    def _users(self, op: Any) -> list[Any]:
        return [user for output in op.outputs for user in self._readers.get(output.name, ())]


def _gives_codes(op: Any) -> bool:
    name = str(op.type)
    return name == "dequantize" or name.startswith("constexpr")


def _names(op: Any, inputs: Iterable[str]) -> list[str]:
    """Return the names of the tensors that an operation reads by these inputs."""
    bindings = [a for key in inputs if key in op.inputs for a in op.inputs[key].arguments]
    return [a.name for a in bindings if a.WhichOneof("binding") == "name"]


def litert_census(path: Path) -> Census:
    """Count the operators of a ``.tflite`` file, as :func:`tflite_census` does.

    Raises:
        ValueError: The file is not a LiteRT model.
    """
    return tflite_census(read_tflite(path))


def tflite_census(graph: TfliteGraph) -> Census:
    """Count the operators of a ``.tflite`` file by the types of their tensors."""
    counted: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    conversions = 0
    for operator in graph.operators:
        if operator.converts:
            conversions += 1
        elif operator.name not in _ORDERING | {"Reshape"}:
            counted[operator.integer][operator.name] += 1
    return Census("litert", _sorted(counted[True]), _sorted(counted[False]), conversions, {})


def take_census(target: str, path: Path) -> Census | None:
    """Count what the engine of ``target`` computes on integers in the artefact at ``path``.

    Returns:
        ``None`` where nobody counts for this target.
    """
    record = target_named(target)
    census: Census | None = resolve(record.census)(path) if record.census else None
    return census


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())
