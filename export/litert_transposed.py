"""Rewriting of transposed convolutions as convolutions, for LiteRT.

LiteRT's converter refuses some transposed convolutions and quantises none. A transposed convolution
of stride 2 equals four small convolutions (:mod:`edgeexpo.export.phases`). LiteRT has the channels
last. In this layout, a concatenation interleaves columns or rows.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators below
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeexpo.export.phases import STRIDE, Taps, doubles, taps

_ATEN = torch.ops.aten
_OPS = torch.ops.quantized_decomposed
_RELUS = frozenset((_ATEN.relu.default, _ATEN.relu_.default))


def split_transposed_graph(module: GraphModule) -> None:
    """Replace every transposed convolution that doubles its input's size, in place.

    A transposed convolution is replaced if :func:`edgeexpo.export.phases.doubles` accepts it and
    its weights are constant. Its result may be quantised at once, with at most a ReLU in between.
    In that case all new tensors have the result's scale and zero point.
    """
    for node in [n for n in module.graph.nodes if n.target == _ATEN.conv_transpose2d.input]:
        weight = _weight(module, node.args[1])
        if weight is not None and _doubles(node, weight.shape[2:]):
            with module.graph.inserting_before(node):
                _replace(module, node, weight)
    module.graph.eliminate_dead_code()
    module.recompile()


def _weight(module: GraphModule, node: Any) -> Tensor | None:
    """Return the stored weights or codes (inputs x outputs x height x width).

    A weight that is not constant gives ``None``.
    """
    if node.target == _OPS.dequantize_per_channel.default:
        node = node.args[0]
    return constant(module, node) if node.op == "get_attr" else None


def constant(module: GraphModule, node: Node) -> Tensor:
    """Return the tensor that a ``get_attr`` node reads."""
    owner, _, name = str(node.target).rpartition(".")
    value: Tensor = getattr(module.get_submodule(owner), name)
    return value


def _doubles(node: Node, kernel: torch.Size) -> bool:
    defaults: tuple[Any, ...] = (None, None, None, [1, 1], [0, 0], [0, 0], 1, [1, 1])
    given = [*node.args, *defaults[len(node.args) :]]
    stride, padding, output_padding, groups, dilation = given[3:8]
    return doubles(kernel, stride, padding, output_padding, dilation, groups)


def _replace(module: GraphModule, node: Node, weight: Tensor) -> None:
    relu, quantize = _after(node)
    write = _Writer(module, () if quantize is None else quantize.args[1:])
    rows = []
    for row in range(STRIDE):
        columns = []
        for column in range(STRIDE):
            read = [
                taps(phase, side)
                for phase, side in zip((row, column), weight.shape[2:], strict=True)
            ]
            result = _phase(write, node, weight, read)
            if relu is not None:
                result = write.plain(_ATEN.relu.default, result)
            # Permuted before the quantiser, where the converter's own permutation cancels it.
            result = write(_ATEN.permute.default, result, [0, 2, 3, 1])
            columns.append(_cut(write, result, read))
        rows.append(_interleaved(write, columns, 2))
    picture = write.plain(_ATEN.permute.default, _interleaved(write, rows, 1), [0, 3, 1, 2])
    for replaced in [node] if quantize is None else list(quantize.users):
        replaced.replace_all_uses_with(picture)


def _after(node: Node) -> tuple[Node | None, Node | None]:
    """Return the ReLU and the quantiser that follow a node.

    The ReLU may be missing (``None``). Both are ``None`` if the result has other readers.
    """
    relu, users = None, list(node.users)
    if len(users) == 1 and users[0].target in _RELUS:
        relu, users = users[0], list(users[0].users)
    if len(users) == 1 and users[0].target == _OPS.quantize_per_tensor.default:
        return relu, users[0]
    return None, None


def _phase(write: _Writer, node: Node, weight: Tensor, read: list[Taps]) -> Node:
    """Write the convolution of one phase, with the taps in ``read`` for rows and for columns.

    An axis with two taps is padded by one zero at each end.
    """
    rows, columns = ([tap for tap, _ in axis] for axis in read)
    stored = write.constant(weight[:, :, rows][..., columns].transpose(0, 1).contiguous())
    old: Any = node.args[1]
    if old.op != "get_attr":
        _, scale, zero_point, _, *rest = old.args
        stored = write.plain(old.target, stored, scale, zero_point, 0, *rest)
    padding = [len(axis) - 1 for axis in read]
    bias = node.args[2] if len(node.args) > 2 else None
    return write.plain(_ATEN.conv2d.default, node.args[0], stored, bias, [1, 1], padding)


def _cut(write: _Writer, result: Node, read: list[Taps]) -> Node:
    """Remove the surplus row and column of an NHWC result of :func:`_phase`, due to its padding."""
    for axis, taken in enumerate(read, start=1):
        if len(taken) > 1:
            ends = (0, -1) if taken[0][1] < 0 else (1, sys.maxsize)
            result = write(_ATEN.slice.Tensor, result, axis, *ends)
    return result


def _interleaved(write: _Writer, parts: list[Node], axis: int) -> Node:
    """Interleave the NHWC results of the even and the odd places along ``axis``."""
    joined = write(_ATEN.cat.default, parts, axis + 1)
    apart = write.plain(_ATEN.unflatten.int, joined, axis + 1, [STRIDE, -1])
    return write(_ATEN.flatten.using_ints, apart, axis, axis + 1)


class _Writer:
    """A writer of graph nodes.

    Called, it quantises and dequantises the new node's result by ``grid``: (scale, zero point,
    lowest code, highest code, dtype). An empty grid leaves results in float.
    """

    def __init__(self, module: GraphModule, grid: tuple[Any, ...]) -> None:
        self._module, self._grid = module, grid

    def __call__(self, operator: Any, *arguments: Any) -> Node:
        result = self.plain(operator, *arguments)
        return self._rounded(result, self._grid) if self._grid else result

    def plain(self, operator: Any, *arguments: Any) -> Node:
        """Write a node whose result is not quantised."""
        return self._module.graph.call_function(operator, arguments)

    def constant(self, value: Tensor) -> Node:
        """Write a node that reads ``value`` as a new buffer."""
        name = f"_phase_{len(self._module._buffers)}"
        self._module.register_buffer(name, value)
        return self._module.graph.get_attr(name)

    def _rounded(self, node: Node, grid: tuple[Any, ...]) -> Node:
        codes = self.plain(_OPS.quantize_per_tensor.default, node, *grid)
        return self.plain(_OPS.dequantize_per_tensor.default, codes, *grid)
