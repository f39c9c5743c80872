"""The exact tail of a network: the last operators, which stay in float when the rest is INT8."""

from __future__ import annotations

from collections import Counter

import torch
from torch.fx import GraphModule, Node

from edgeexpo.program.values import tensor_of

WEIGHTED_OPERATORS = ("conv", "linear", "addmm", "matmul", "mm", "bmm")
"""Beginnings of the names of weighted operators, which multiply by weights or another tensor."""


def is_weighted(node: Node) -> bool:
    """Return true for convolutions, transposed convolutions and matrix products."""
    return node.op == "call_function" and operator_name(node).startswith(WEIGHTED_OPERATORS)


def exact_tail(module: GraphModule) -> set[Node]:
    """Return the unweighted operators whose result reaches the output past no weighted operator.

    In ``clip(y0 + f(y0))`` these are the addition and the clip. In a network that blends frames by
    masks, these are the normalisation of the masks and the blend. In a network that ends in a
    sigmoid, this is the sigmoid. These operators work on the picture itself, where a quantisation
    step is visible. They cost little.
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
    """Return the weighted nodes whose results enter the tail or are the output.

    They are the last operators that can be quantised.
    """
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
    """Return the operators that make NxCx1x1 features, and those that only such features need.

    A global branch is an example: it works on a thumbnail or a mean of the picture.
    """
    once: set[Node] = set()
    for node in reversed(module.graph.nodes):
        if node.op == "call_function" and (
            is_vector(node) or (node.users and all(user in once for user in node.users))
        ):
            once.add(node)
    return once


def is_vector(node: Node) -> bool:
    """Return true if the node's result is a tensor of shape NxCx1x1."""
    value = tensor_of(node)
    if value is None:
        return False
    sides = value.shape[2:]
    return len(sides) > 0 and all(isinstance(side, int) and side == 1 for side in sides)


def unshare(module: GraphModule) -> bool:
    """Give every weighted operator its own copy of its weights, in place.

    XNNPACK's quantiser annotates only one reader of shared weights. ExecuTorch 1.5.1 then lowers a
    program that does not load (``xnn_status_invalid_parameter``).

    Returns:
        True when ``module`` was changed.
    """
    changed = False
    for node in [n for n in module.graph.nodes if n.op == "get_attr"]:
        for index, user in enumerate([u for u in node.users if is_weighted(u)][1:]):
            name = f"{str(node.target).replace('.', '_')}_copy{index}"
            owner, _, own = str(node.target).rpartition(".")
            value = getattr(module.get_submodule(owner), own).detach().clone()
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
    """Count the operators of a converted PT2E program that compute in float.

    An operator computes on integers if three conditions hold. Engines have integer kernels for it
    (:data:`INTEGER`). All its inputs are dequantised. Its result is quantised at once, with at most
    a fused ReLU in between. Operators that only change the shape are not counted.

    Returns:
        Operator name -> number of occurrences, sorted by name.
    """
    return dict(sorted(Counter(map(operator_name, float_nodes(module))).items()))


def float_nodes(module: GraphModule) -> list[Node]:
    """Return the operators that :func:`float_operators` counts."""
    found = []
    for node in (n for n in module.graph.nodes if n.op == "call_function"):
        name = operator_name(node)
        if name in _FORMAL or "quantize" in name or _is_fused_relu(node) or _is_integer(node):
            continue
        found.append(node)
    return found


INTEGER = frozenset(("conv2d", "conv_transpose2d", "linear", "add", "mul", "cat", "max_pool2d"))
"""Integer operators: those that XNNPACK computes on integers."""

_FORMAL = frozenset(
    ["sym_size", "getitem", "view", "reshape", "unsqueeze", "squeeze", "expand", "permute"]
)
_RELUS = frozenset(("relu", "relu_"))


def operator_name(node: Node) -> str:
    """Return an operator's name, such as ``conv2d`` for ``aten.conv2d.default``.

    A target without a namespace gives the function's name.
    """
    parts = str(node.target).split(".")
    return parts[1] if len(parts) > 1 else getattr(node.target, "__name__", parts[0])


def _is_fused_relu(node: Node) -> bool:
    source = node.args[0] if node.args else None
    return (
        operator_name(node) in _RELUS
        and isinstance(source, Node)
        and source.op == "call_function"
        and len(source.users) == 1
        and _is_integer(source)
    )


def _is_integer(node: Node) -> bool:
    read = [n for n in node.all_input_nodes if n.op == "call_function"]
    users = list(node.users)
    if len(users) == 1 and operator_name(users[0]) in _RELUS:
        users = list(users[0].users)
    return (
        operator_name(node) in INTEGER
        and bool(read)
        and all("dequantize" in operator_name(n) for n in read)
        and bool(users)
        and all(operator_name(n).startswith("quantize") for n in users)
    )
