"""Repair of XNNPACK's pass that quantises padding with zeros (executorch 1.5.1)."""

from __future__ import annotations

import contextlib
from typing import Any

from executorch.backends.xnnpack._passes.insert_pad_qdq import InsertPadQDQPass
from executorch.backends.xnnpack.utils.quant_utils import is_dequant
from executorch.exir.dialects._ops import ops
from torch.fx import GraphModule, Node

from edgeexpo.replaced import replaced

_PAD = ops.edge.aten.constant_pad_nd.default
_READERS = (ops.edge.aten.convolution.default,)
_call = InsertPadQDQPass.call


def repaired_pads() -> contextlib.AbstractContextManager[None]:
    """Let the pass quantise only the padding that convolutions read.

    The pass quantises every padded tensor that comes from integers. A slice, a pooling or the end
    of the delegate then reads floats where integers are, and the file does not load
    (``xnn_status_invalid_parameter``). Such readers keep the padded tensor, in float, and the
    convolutions get one of their own. A padded tensor that the delegate returns keeps its name so.
    """
    return replaced(InsertPadQDQPass, "call", _repaired)


def _repaired(self: InsertPadQDQPass, graph_module: GraphModule) -> Any:
    floats = []
    for pad in [n for n in graph_module.graph.nodes if n.target == _PAD]:
        readers = [user for user in pad.users if user.target in _READERS]
        if len(readers) < len(pad.users):
            floats.append(pad)
            if readers and is_dequant(pad.args[0]):
                _own(pad, readers)
    for pad in floats:
        pad.target = _hidden
    result = _call(self, graph_module)
    for pad in floats:
        pad.target = _PAD
    graph_module.recompile()
    return result


def _own(pad: Node, readers: list[Node]) -> None:
    """Give some readers of a padded tensor their own copy of it."""
    with pad.graph.inserting_after(pad):
        copy = pad.graph.node_copy(pad)
    for reader in readers:
        reader.replace_input_with(pad, copy)


def _hidden(*_: Any) -> None:
    """Stand for padding while the pass looks for it."""
