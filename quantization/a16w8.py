"""A16W8: the weights of an INT8 program, with activations of 16 bits instead of 8.

NPUs multiply 16-bit activations by 8-bit weights. The activations then round 256 times finer, so
that nearly all of the loss of INT8 that is left is that of the weights. The weights, and what stays
in float, are those of the INT8 program. The ranges of the activations are observed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.program.capture import Program, recapture
from edgeexpo.quantization import observers
from edgeexpo.quantization.ptq import tensors

WIDTH = 2.0
"""Factor of a 16-bit range over the values that calibration shows.

An 8-bit range has to be tight. Twice the range costs 6 of about 100 dB, and keeps other pictures
from being clipped.
"""

LARGEST_CODE = 2**16 - 1
"""Largest code of an activation; the smallest is 0."""

SMALLEST_SCALE = observers.SMALLEST_SCALE / 2**8
"""Smallest scale of an activation, for the span of INT8's smallest one."""

_QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default

_Shared = tuple[float, int]
"""Scale and zero point in the INT8 program. Tensors that share them share a 16-bit range."""

_Span = tuple[float, float]
"""Smallest and largest value."""


def a16w8_program(program: Program, calibration: Iterable[Mapping[str, np.ndarray]]) -> Program:
    """Give the activations of an INT8 program 16 bits.

    A range is :data:`WIDTH` times what the activations of :func:`float_activations` show on the
    calibration pictures. A tensor that is an input of the network has the range of its spec.
    Tensors with one range in INT8, such as the parts of a concatenation, have one range here.

    Args:
        program: The INT8 program. It is not changed.
        calibration: Pictures: input name -> HxWxC float32, of any size that the program accepts.

    Returns:
        The program, whose codes of activations are of 16 bits without a sign.

    Raises:
        UsageError: There is no calibration picture, or a value is not finite.
    """
    module = _module(program)
    observed = _Observed(module)
    with torch.no_grad():
        for picture in tensors(program, calibration):
            observed.run(*picture)
    spans = {key: (WIDTH * low, WIDTH * high) for key, (low, high) in observed.spans.items()}
    for key, span in _of_inputs(program, module).items():
        spans[key] = _joined(span, observed.spans[key])
    for node in _quantizers(module):
        scale, zero = _codes(spans[_key(node)])
        for changed in (node, *node.users):
            changed.args = (changed.args[0], scale, zero, 0, LARGEST_CODE, torch.uint16)
    module.recompile()
    return recapture(program, module, "a16w8")


def float_activations(program: Program) -> Program:
    """Return an INT8 program with its weights and without any rounding of its activations.

    It is what A16W8 is compared with: the same weights, and activations in float32.
    """
    module = _module(program)
    for node in list(_quantizers(module)):
        for reader in list(node.users):
            reader.replace_all_uses_with(cast(Node, node.args[0]))
            module.graph.erase_node(reader)
        module.graph.erase_node(node)
    module.recompile()
    return recapture(program, module, "fp32")


class _Observed(Interpreter):
    """An interpreter that leaves activations in float and notes their spans, always with zero."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self._left = set(_quantizers(module))
        self._left |= {reader for node in self._left for reader in node.users}
        self.spans: dict[_Shared, _Span] = {}

    def run_node(self, n: Node) -> Any:
        """Return the node's result. That of a rounding is what it would round."""
        if n not in self._left:
            return super().run_node(n)
        value: Any = self.env[cast(Node, n.args[0])]
        if n.target is _QUANTIZE:
            span = min(0.0, float(value.min())), max(0.0, float(value.max()))
            self.spans[_key(n)] = _joined(span, self.spans.get(_key(n), span))
        return value


def _module(program: Program) -> GraphModule:
    module = program.exported.module(check_guards=False)
    assert isinstance(module, GraphModule)
    return GraphModule(module, module.graph)


def _quantizers(module: GraphModule) -> Iterator[Node]:
    """Yield the quantisers of activations, whose readers are all dequantisers."""
    for node in module.graph.nodes:
        if node.target is _QUANTIZE:
            assert all(reader.target is _DEQUANTIZE for reader in node.users)
            yield node


def _of_inputs(program: Program, module: GraphModule) -> dict[_Shared, _Span]:
    """Return the ranges of the network's inputs where nothing but inputs is in them."""
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    ranges = {
        node: (min(0.0, spec.value_range[0]), max(0.0, spec.value_range[1]))
        for node, spec in zip(inputs, program.tensors, strict=True)
    }
    found: dict[_Shared, _Span] = {}
    other = {_key(n) for n in _quantizers(module) if n.args[0] not in ranges}
    for node in _quantizers(module):
        span = ranges.get(node.args[0])
        if span is not None and _key(node) not in other:
            found[_key(node)] = _joined(span, found.get(_key(node), span))
    return found


def _key(node: Node) -> _Shared:
    scale, zero = node.args[1:3]
    return float(scale), int(zero)  # type: ignore[arg-type]


def _joined(one: _Span, other: _Span) -> _Span:
    return min(one[0], other[0]), max(one[1], other[1])


def _codes(span: _Span) -> tuple[float, int]:
    """Return scale and zero point of the 16-bit codes of a span with zero in it."""
    low, high = span
    scale = max((high - low) / LARGEST_CODE, SMALLEST_SCALE)
    return scale, round(-low / scale)
