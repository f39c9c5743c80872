"""Repair of the types that Core ML's converter gives to results (coremltools 9.0)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from edgeexpo.replaced import replaced

_NAMES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.int64: "int32",
    torch.int32: "int32",
    torch.bool: "bool",
}
"""Type of a traced tensor -> the type that stands for it in Core ML."""


@contextlib.contextmanager
def traced_types() -> Iterator[None]:
    """Let every operator's result have the type that torch traced for it.

    The converter takes the type of a result from the operands that it sees: a number without a
    decimal point is an integer, a quotient of integers is real, and a number beside fp16 features
    makes them fp32. It then refuses the next operator, whose operands have two types.
    """
    from coremltools.converters.mil.frontend.torch import ops

    convert = ops.convert_single_node

    def converted(context: Any, node: Any) -> None:
        convert(context, node)
        value = (node.meta or {}).get("val")
        if isinstance(value, torch.Tensor) and node.name in context:
            _cast(context, node, value.dtype)

    with replaced(ops, "convert_single_node", converted):
        yield


def _cast(context: Any, node: Any, kind: torch.dtype) -> None:
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    result, wanted = context[node.name], _NAMES.get(kind)
    found = types.builtin_to_string(result.dtype) if hasattr(result, "dtype") else None
    if wanted is None or found not in _NAMES.values() or found == wanted:
        return
    # The converter's later checks ask every operator for these two facts.
    trace = ScopeInfo(source=ScopeSource.EXIR_STACK_TRACE, data=[node.meta.get("stack_trace")])
    handle = ScopeInfo(source=ScopeSource.EXIR_DEBUG_HANDLE, data=[node.meta.get("debug_handle")])
    with Builder.scope(trace, handle):
        context.add(Builder.cast(x=result, dtype=wanted), node.name, override=True)
