"""The exact tail of a network: what stays in float when everything before it is quantised."""

from __future__ import annotations

from collections import Counter

import torch
from torch.fx import GraphModule, Node

WEIGHTED_OPERATORS = ("conv", "linear", "addmm", "matmul", "mm", "bmm")
"""Operators that multiply by weights or by another tensor's channels, by how their name begins."""


def is_weighted(node: Node) -> bool:
    """True for convolutions, transposed convolutions and matrix products."""
    return node.op == "call_function" and _operator(node).startswith(WEIGHTED_OPERATORS)


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


def computed_once(module: GraphModule) -> set[Node]:
    """Operators that serve only to compute NxCx1x1 features, and those features themselves.

    A global branch is one: whatever the size of the picture, it works on a thumbnail or a mean.
    """
    once: set[Node] = set()
    for node in reversed(module.graph.nodes):
        if node.op == "call_function" and (
            is_vector(node) or (node.users and all(user in once for user in node.users))
        ):
            once.add(node)
    return once


def is_vector(node: Node) -> bool:
    """True for NxCx1x1."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return False
    sides = value.shape[2:]
    return len(sides) > 0 and all(isinstance(side, int) and side == 1 for side in sides)


def unshare(module: GraphModule) -> bool:
    """Give every weighted operator weights of its own; a shared convolution is several after this.

    XNNPACK's quantiser annotates one reader of shared weights only, and ExecuTorch 1.5.1 then
    lowers a program that does not load (``xnn_status_invalid_parameter``).

    Returns:
        True when ``module`` was changed.
    """
    changed = False
    for node in [n for n in module.graph.nodes if n.op == "get_attr"]:
        for index, user in enumerate([u for u in node.users if is_weighted(u)][1:]):
            name = f"{str(node.target).replace('.', '_')}_copy{index}"
            value = module.get_parameter(str(node.target)).detach().clone()
            module.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
            with module.graph.inserting_before(user):
                copy = module.graph.get_attr(name)
            copy.meta.update(node.meta)
            user.replace_input_with(node, copy)
            changed = True
    if changed:
        module.recompile()
    return changed


def float_operators(module: GraphModule) -> dict[str, int]:
    """Operators of a converted PT2E program that compute in float, with how often each occurs.

    An operator is an integer one when engines have such kernels (:data:`INTEGER`), everything that
    it reads was just dequantised, and its result, through a fused ReLU at most, is quantised at
    once. Reshaping and the like count as neither.
    """
    nodes = [n for n in module.graph.nodes if n.op == "call_function"]
    counted: Counter[str] = Counter()
    for node in nodes:
        name = _operator(node)
        if name in _FORMAL or "quantize" in name or _is_fused_relu(node) or _is_integer(node):
            continue
        counted[name] += 1
    return dict(sorted(counted.items()))


INTEGER = frozenset(("conv2d", "conv_transpose2d", "linear", "add", "mul", "cat", "max_pool2d"))
"""Operators that XNNPACK computes on integers."""

_FORMAL = frozenset(
    ["sym_size", "getitem", "view", "reshape", "unsqueeze", "squeeze", "expand", "permute"]
)
_RELUS = frozenset(("relu", "relu_"))


def _operator(node: Node) -> str:
    """``conv2d`` of ``aten.conv2d.default``; the function's own name outside of such namespaces."""
    parts = str(node.target).split(".")
    return parts[1] if len(parts) > 1 else getattr(node.target, "__name__", parts[0])


def _is_fused_relu(node: Node) -> bool:
    source = node.args[0] if node.args else None
    return (
        _operator(node) in _RELUS
        and isinstance(source, Node)
        and source.op == "call_function"
        and len(source.users) == 1
        and _is_integer(source)
    )


def _is_integer(node: Node) -> bool:
    read = [n for n in node.all_input_nodes if n.op == "call_function"]
    users = list(node.users)
    if len(users) == 1 and _operator(users[0]) in _RELUS:
        users = list(users[0].users)
    return (
        _operator(node) in INTEGER
        and bool(read)
        and all("dequantize" in _operator(n) for n in read)
        and bool(users)
        and all(_operator(n).startswith("quantize") for n in users)
    )
