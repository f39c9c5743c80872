"""Replacement of operators of a program, which the rewrites at capture share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.fx import Graph, GraphModule, Node


def replace_each(module: GraphModule, found: Sequence[Node], make: Callable[[Node], Node]) -> bool:
    """Replace operators by what ``make`` inserts before each of them, in place.

    Args:
        module: The program's graph module.
        found: Operators of its graph.
        make: Function that adds nodes for an operator and returns the one with its result. The node
            gets the operator's facts, such as its line in the user's file.

    Returns:
        True when ``module`` was changed.
    """
    for node in found:
        with module.graph.inserting_before(node):
            new = make(node)
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        module.graph.erase_node(node)
    if found:
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
    return bool(found)


def call(graph: Graph, target: Any, *args: Any) -> Node:
    """Add an operator with ``args`` to a graph and return its node."""
    return graph.call_function(target, args)
