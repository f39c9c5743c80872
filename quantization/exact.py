"""The exact tail of a network: what stays in float when everything before it is quantised."""

from __future__ import annotations

from torch.fx import GraphModule, Node

WEIGHTED = ("conv", "linear", "addmm", "matmul", "mm.", "bmm")
"""Operators that multiply by weights or by another tensor's channels, by part of their name."""


def is_weighted(node: Node) -> bool:
    """True for convolutions, transposed convolutions and matrix products."""
    return node.op == "call_function" and any(w in str(node.target) for w in WEIGHTED)


def exact_tail(module: GraphModule) -> set[Node]:
    """Nodes that reach the output without passing another weighted operator.

    In ``clip(y0 + f(y0))`` these are the addition and the clip; in a network that blends frames by
    masks, the mask normalisation and the blend; in one that ends in a sigmoid, the sigmoid. They
    work on the picture itself, where a quantisation step is a visible step, and cost little.
    """
    output = next(n for n in reversed(module.graph.nodes) if n.op == "output")
    tail: set[Node] = set()
    waiting = list(output.all_input_nodes)
    while waiting:
        node = waiting.pop()
        if node in tail or node.op != "call_function" or is_weighted(node):
            continue
        tail.add(node)
        waiting.extend(node.all_input_nodes)
    return tail


def tail_border(module: GraphModule, tail: set[Node]) -> set[Node]:
    """Weighted nodes whose result enters the tail: the end of what is quantised."""
    return {
        source
        for node in tail
        for source in node.all_input_nodes
        if source not in tail and source.op == "call_function"
    } | {
        source
        for node in module.graph.nodes
        if node.op == "output"
        for source in node.all_input_nodes
        if source not in tail and source.op == "call_function"
    }
