"""Intermediate values of a ``.pte`` file, from a copy in memory whose every value is an output.

The wheel's runtime records no ETDump, so the file itself is changed in memory. In the copy, every
value of each XNNPACK graph becomes an external output of its delegate. Every tensor of the program
gets its own memory. Weights, scales, fused activations and operators are those of the file, and the
same engine runs them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeexpo.errors import EngineError
from edgeexpo.inspection.xnnpack_payload import (
    XNNPACK,
    inputs_of,
    name_of,
    output_of,
    read_graph,
    tensor_of,
    weights_of,
)
from edgeexpo.parity.localisation.trace import COPY, Grid, Traced, kind
from edgeexpo.runtime.engines.base import Arrays, first_line
from edgeexpo.runtime.engines.executorch import bindings
from edgeexpo.silence import quiet
from edgeexpo.spec import ModelSpec, SizeRange

ALIGNMENT = 64
"""Alignment of tensors in the planned memory, in bytes."""

TIE_MARGIN = 1.5
"""Factor on the picture's share of the largest size, because strides round up."""

_EXTERNAL_OUTPUT = 2
"""XNNPACK's flag of an external output."""

_NOT_EXTERNAL = 0xFFFFFFFF
"""XNNPACK's external number of an internal value."""

_MEMORY = 1
"""Number of the planned memory that holds tensors."""

_COPIES = frozenset(("_to_dim_order_copy", "clone", "_clone_dim_order", "_to_copy"))
"""Kernels that change only a value's layout or type."""

_FP32, _FP16, _QINT8, _QUINT8 = 1, 2, 3, 4
_SCALARS = {_FP32: 6, _FP16: 5, _QINT8: 1, _QUINT8: 0}
"""ExecuTorch's scalar types by XNNPACK's datatypes."""

_FLOATS = (5, 6)
"""ExecuTorch's scalar types of floating-point numbers."""

_REAL = (_FP32, _FP16)
"""XNNPACK's datatypes of floating-point numbers."""

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass
class _Value:
    """A tensor of the program: its operator, its inputs, and its layout."""

    operator: str
    kinds: tuple[str, ...]
    inputs: tuple[int, ...]
    grid: Grid | None = None
    channels_last: bool = False


@dataclass
class _Plan:
    """The copy's execution plan, to which values are added."""

    plan: Any
    schema: Any
    share: float
    values: dict[int, _Value] = field(default_factory=dict)

    def add(self, scalar_type: int, dims: list[int]) -> int:
        """Add a tensor to the program, with memory for the picture's share of ``dims``."""
        room = math.ceil(math.prod(dims) * min(1.0, self.share * TIE_MARGIN)) + ALIGNMENT
        sizes = [room, *[1] * (len(dims) - 1)] if dims else []
        tensor = self.schema.Tensor(
            scalar_type=scalar_type,
            storage_offset=0,
            sizes=sizes,
            dim_order=list(range(len(dims))),
            requires_grad=False,
            layout=0,
            data_buffer_idx=0,
            allocation_info=self.schema.AllocationDetails(_MEMORY, 0, 0),
            shape_dynamism=self.schema.TensorShapeDynamism.DYNAMIC_BOUND,
        )
        self.plan.values.append(self.schema.EValue(tensor))
        return len(self.plan.values) - 1

    def is_tensor(self, index: int) -> bool:
        """Return true when the value at ``index`` is a tensor."""
        return isinstance(self.plan.values[index].val, self.schema.Tensor)

    def spread(self) -> None:
        """Give every planned tensor its own memory, so that no tensor is overwritten."""
        end = 0
        for value in self.plan.values:
            tensor = value.val
            if not isinstance(tensor, self.schema.Tensor) or tensor.allocation_info is None:
                continue
            tensor.allocation_info = self.schema.AllocationDetails(
                _MEMORY, end & 0xFFFFFFFF, end >> 32
            )
            # Eight bytes hold any type. Memory that is never written costs nothing.
            end += -(-math.prod(tensor.sizes) * 8 // ALIGNMENT) * ALIGNMENT
        sizes = list(self.plan.non_const_buffer_sizes)
        self.plan.non_const_buffer_sizes = [*sizes[:_MEMORY], end, *sizes[_MEMORY + 1 :]]


class ExecutorchTracer:
    """Runs a copy of the program in which every value is an output.

    Args:
        names: Names of the program's inputs, in order.
        largest: Largest (height, width) that the program takes, in pixels.
    """

    engine = "executorch"
    caveat = (
        "the file's own values, from a copy in memory in which each is an output; "
        "what XNNPACK fuses while it loads is then not fused"
    )

    def __init__(self, spec: ModelSpec, sizes: SizeRange) -> None:
        self._names = tuple(t.name for t in spec.inputs)
        self._largest = sizes.largest

    def __call__(self, path: Path, inputs: Arrays) -> list[Traced]:
        """Run the copy once; see :class:`edgeexpo.parity.localisation.trace.Tracer`."""
        portable_lib = bindings()
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[n])) for n in self._names]
        area = max(t.shape[-1] * t.shape[-2] for t in tensors)
        with quiet():
            data, values, read = _tapped(path, area / math.prod(self._largest))
            try:
                module = portable_lib._load_for_executorch_from_buffer(data)
                found = module.run_method("forward", tensors)
            except RuntimeError as error:
                raise EngineError(
                    f"ExecuTorch cannot trace {path.name}: {first_line(error)}"
                ) from error
        names = dict(zip(read, self._names, strict=True))
        return [
            Traced(
                name=f"value{index}",
                operator=value.operator,
                kinds=value.kinds,
                inputs=tuple(names.get(i, f"value{i}") for i in value.inputs),
                value=_real(tensor, value),
                grid=value.grid,
                half=tensor.dtype == torch.float16,
            )
            for (index, value), tensor in zip(values.items(), found, strict=True)
        ]


def _tapped(path: Path, share: float) -> tuple[bytes, dict[int, _Value], list[int]]:
    """Return the copy with all its values as outputs, the outputs' descriptions, and its inputs."""
    from executorch.exir import schema
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    file = deserialize_pte_binary(path.read_bytes())
    program = file.program
    plan = _Plan(program.execution_plan[0], schema, share)
    for chain in plan.plan.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            if isinstance(call, schema.DelegateCall):
                _tap_delegate(program, plan, call)
            elif isinstance(call, schema.KernelCall):
                _tap_kernel(plan, call)
    plan.spread()
    plan.plan.outputs = list(plan.values)
    return bytes(serialize_pte_binary(file)), plan.values, list(plan.plan.inputs)


def _tap_kernel(plan: _Plan, call: Any) -> None:
    operator = plan.plan.operators[call.op_index]
    output = call.args[-1]
    if not plan.is_tensor(output):
        return
    read = tuple(i for i in call.args[:-1] if plan.is_tensor(i) and i != output)
    if plan.plan.values[output].val.scalar_type in _FLOATS:
        word = operator.name.rpartition("::")[2]
        word = COPY if word in _COPIES else kind(word)
        plan.values[output] = _Value(operator.name, (word,), read)


def _tap_delegate(program: Any, plan: _Plan, call: Any) -> None:
    """Make every value of the delegate's graph an output of the program and of the payload."""
    delegate = plan.plan.delegates[call.delegate_index]
    if delegate.id != XNNPACK:
        raise EngineError(f"the delegate {delegate.id} cannot be looked into; expected {XNNPACK}")
    payload = program.backend_delegate_data[delegate.processed.index]
    graph, rest = read_graph(bytes(payload.data))
    tensors = {tensor_of(v).idOut: (v, tensor_of(v)) for v in graph.xvalues}
    places = {
        i: call.args[t.externalId] for i, (_, t) in tensors.items() if t.externalId != _NOT_EXTERNAL
    }
    layouts = {
        i: plan.plan.values[p].val.dim_order == _TO_NHWC
        for i, p in places.items()
        if plan.is_tensor(p)
    }
    for node in graph.xnodes:
        output = output_of(node)
        value, tensor = tensors[output]
        if output not in places and tensor.datatype in _SCALARS:
            dims = [int(d) for d in tensor.dims]
            places[output] = plan.add(_SCALARS[tensor.datatype], dims)
            tensor.externalId, tensor.flags = len(call.args), tensor.flags | _EXTERNAL_OUTPUT
            call.args.append(places[output])
            graph.outputIds = [*map(int, graph.outputIds), output]
            graph.numExterns += 1
        read = [*inputs_of(node), *weights_of(node)]
        layouts[output] = _is_channels_last(node, [layouts[i] for i in read if i in layouts])
        if output in places:
            word = kind(name_of(node))
            plan.values[places[output]] = _Value(
                name_of(node),
                _kinds(word, node, tensor.datatype),
                tuple(places[i] for i in read if i in places),
                _grid(value, tensor.datatype),
                layouts[output],
            )
    payload.data = rest(graph)


def _kinds(word: str, node: Any, datatype: int) -> tuple[str, ...]:
    if word in ("statictranspose", "copy") or (word == "convert" and datatype in _REAL):
        return (COPY,)
    words = [] if word == "convert" else [word]
    if node.outputMinMax is not None and word != "relu":
        words.append("relu")
    return tuple(words if datatype in _REAL else [*words, "dequantize"])


def _is_channels_last(node: Any, inputs: list[bool]) -> bool:
    permutation = getattr(node.xnodeUnion, "perm", None)
    if permutation is not None:
        return list(map(int, permutation)) == _TO_NHWC
    spatial = hasattr(node.xnodeUnion, "groups") or hasattr(node.xnodeUnion, "newHeight")
    return spatial or hasattr(node.xnodeUnion, "poolingHeight") or any(inputs)


def _grid(value: Any, datatype: int) -> Grid | None:
    if datatype not in (_QINT8, _QUINT8):
        return None
    low, high = (-128, 127) if datatype == _QINT8 else (0, 255)
    stored = value.xvalueUnion.quantParams
    return Grid(float(stored.scale), int(stored.zeroPoint), low, high)


def _real(tensor: Any, value: _Value) -> np.ndarray:
    array = tensor.numpy().astype(np.float32)
    if value.grid is not None:
        array = (array - value.grid.zero_point) * np.float32(value.grid.scale)
    if value.channels_last and array.ndim == 4:
        array = array.transpose(_TO_NCHW)
    return np.array(array, np.float32, copy=True, order="C")
