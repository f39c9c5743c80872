"""Repair of XNNPACK's pass that inserts changes of the memory layout (executorch 1.5.1).

The pass goes through the operators in order. Where an operator needs another layout, it puts a copy
before it, and around the copy of a quantised tensor a pair of quantisers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import (
    ChannelsLastTaggedReshapePass,
)
from torch.fx import GraphModule, Node

from edgeexpo.replaced import replaced

_create = ChannelsLastTaggedReshapePass.create_call_function_node
_insert = ChannelsLastTaggedReshapePass.insert_copy_q_dq


@contextlib.contextmanager
def repaired_layouts() -> Iterator[None]:
    """Repair two faults of the pass, which quantised tensors with several readers meet.

    A copy gets a traced value, as every other node has. Otherwise the pass stops with a
    ``KeyError`` when something outside the delegate reads the copy too.

    A copy for one operator leaves earlier readers of the tensor alone. Otherwise a reader that was
    already marked for the old layout gets the new one, and the delegate returns swapped axes.
    """
    with (
        replaced(ChannelsLastTaggedReshapePass, "create_call_function_node", _created),
        replaced(ChannelsLastTaggedReshapePass, "insert_copy_q_dq", _inserted),
    ):
        yield


def _created(self: ChannelsLastTaggedReshapePass, *args: Any, **kwargs: Any) -> Node:
    made: Node = _create(self, *args, **kwargs)
    source = made.args[0]
    if isinstance(source, Node) and "val" in source.meta:
        made.meta.setdefault("val", source.meta["val"])
    return made


def _inserted(
    self: ChannelsLastTaggedReshapePass,
    graph_module: GraphModule,
    before: Node,
    after: Node,
    copy: Node,
    q_params: tuple[Any, ...],
) -> None:
    earlier = [user for user in before.users if user is not copy and user < after]
    if earlier:
        with graph_module.graph.inserting_before(before):
            kept = graph_module.graph.node_copy(before)
        for user in earlier:
            user.replace_input_with(before, kept)
    _insert(self, graph_module, before, after, copy, q_params)
