"""Repair of XNNPACK's pass that inserts changes of the memory layout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import (
    ChannelsLastTaggedReshapePass,
)
from torch.fx import Node


@contextlib.contextmanager
def described_copies() -> Iterator[None]:
    """Give the copies that the pass inserts a traced value, as every other node has.

    executorch 1.5.1 inserts them without. It then stops with a ``KeyError`` at every quantised
    result that both a convolution and an operator outside the delegate read, such as a slice of
    channels.
    """
    create = ChannelsLastTaggedReshapePass.create_call_function_node

    def described(
        self: ChannelsLastTaggedReshapePass, *args: Any, **kwargs: Any
    ) -> Node:
        made: Node = create(self, *args, **kwargs)
        source = made.args[0]
        if isinstance(source, Node) and "val" in source.meta:
            made.meta.setdefault("val", source.meta["val"])
        return made

    ChannelsLastTaggedReshapePass.create_call_function_node = described
    try:
        yield
    finally:
        ChannelsLastTaggedReshapePass.create_call_function_node = create
