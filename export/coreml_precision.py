"""Which operators of a Core ML model compute in float32 while the others compute in fp16."""

from __future__ import annotations

from typing import Any

_ELEMENTWISE = "add sub mul real_div clip minimum maximum relu sigmoid tanh softmax"
_TAIL_OPS = frozenset(f"{_ELEMENTWISE} concat cast slice_by_index split const dequantize".split())
"""Tail operators: MIL operators that may belong to the exact tail, which stays in float32.

See :func:`edgeexpo.program.exact_tail.exact_tail`.
"""

_CHOICES = frozenset(["equal", "not_equal", "reduce_argmax", "reduce_argmin", "topk", "argsort"])
"""Operators that choose places by comparison, as pooling with indices does."""

_CONVOLUTIONS = frozenset(["conv", "conv_transpose"])
"""Operators of networks that no stage has."""

_RANGE_ENDS = frozenset(["conv", "conv_transpose", "linear", "matmul", "quantize"])
"""Operators whose result says nothing about the order of the values that they read."""


class Float32Operators:
    """Decides, for one model, which operators compute in float32.

    These are the exact tail, and what makes the values that are compared to choose a place, from
    the last weighted operator on. In fp16, many of those values are equal, and another place is
    chosen.

    Args:
        stages: True if the model holds stages around its network. They compute in float32, too: all
            that does not lie between two convolutions.
    """

    def __init__(self, stages: bool = False) -> None:
        self._compared: dict[str, bool] = {}
        self._stages = stages
        self._inner: set[str] | None = None

    def __call__(self, op: Any) -> bool:
        """Return true for an operator that computes in float32."""
        return _in_tail(op) or self._is_compared(op) or (self._stages and self._in_stage(op))

    def _in_stage(self, op: Any) -> bool:
        if self._inner is None:
            self._inner = _between_convolutions(op.enclosing_block.operations)
        return op.name not in self._inner

    def _is_compared(self, op: Any) -> bool:
        if op.name not in self._compared:
            self._compared[op.name] = op.op_type in _CHOICES or any(
                op.op_type != "quantize"
                and child.op_type not in _RANGE_ENDS
                and self._is_compared(child)
                for output in op.outputs
                for child in output.child_ops
            )
        return self._compared[op.name]


def _between_convolutions(operations: Any) -> set[str]:
    """Return the names of the operators between two convolutions, and of these themselves."""
    after: set[str] = set()
    for op in operations:
        sources = [v.op for v in op.get_flattened_inputs() if v.op is not None]
        if op.op_type in _CONVOLUTIONS or any(source.name in after for source in sources):
            after.add(op.name)
    before: set[str] = set()
    for op in reversed(list(operations)):
        readers = [reader for output in op.outputs for reader in output.child_ops]
        if op.op_type in _CONVOLUTIONS or any(reader.name in before for reader in readers):
            before.add(op.name)
    return after & before


def _in_tail(op: Any) -> bool:
    """Return true for operators between the last weighted operator and the program's output."""
    return op.op_type in _TAIL_OPS and all(
        output in op.enclosing_block.outputs or all(_in_tail(child) for child in output.child_ops)
        for output in op.outputs
    )
