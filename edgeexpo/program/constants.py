"""Folding of what a program computes from its parameters alone, such as a normalised weight."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgeexpo.program.values import tensor_of, tensors_of

LARGEST_CONSTANT = 2**22
"""Largest number of elements of a constant that is larger than what it is computed from."""


def fold_constants(module: GraphModule) -> bool:
    """Compute once, in place, what depends on no input, and keep the result as a parameter.

    Weight normalisation, spectral normalisation, weight standardisation, re-parameterised blocks
    and repeated kernels compute a weight from parameters. A grid of coordinates of a fixed size is
    computed from nothing. Afterwards, quantiser, equalisation and engines read a plain parameter.

    Random numbers are not folded, and neither is a buffer that the program changes.

    Returns:
        True when ``module`` was changed.
    """
    constants = _constants(module)
    folded = [n for n in constants if _is_result(n, constants)]
    if not folded:
        return False
    known: dict[Node, Any] = {}
    for node in folded:
        name = f"folded_{node.name}"
        register(module, name, _value(module, node, known))
        with module.graph.inserting_before(node):
            parameter = module.graph.get_attr(name)
        parameter.meta = dict(node.meta)
        node.replace_all_uses_with(parameter)
    for node in reversed(list(constants)):
        if not node.users:
            module.graph.erase_node(node)
    drop_unread(module, {str(n.target) for n in constants if n.op == "get_attr"})
    module.graph.lint()
    module.recompile()
    return True


def _constants(module: GraphModule) -> dict[Node, int]:
    """Return the nodes that depend on no input -> number of elements that they are computed from.

    The nodes are in the order of the program.
    """
    changed = {n for node in module.graph.nodes if is_mutable(node) for n in node.all_input_nodes}
    found: dict[Node, int] = {}
    for node in module.graph.nodes:
        sources = node.all_input_nodes
        if node in changed or not all(source in found for source in sources):
            continue
        if node.op == "get_attr" and isinstance(attribute(module, node), torch.Tensor):
            found[node] = _size(node)
        elif _is_pure(node):
            size = sum(found[source] for source in sources)
            if _size(node) <= max(size, LARGEST_CONSTANT):
                found[node] = size
    return found


def _size(node: Node) -> int:
    return sum(int(part.numel()) for part in tensors_of(node))


def _is_pure(node: Node) -> bool:
    """Return true for an operator whose result depends on its operands alone."""
    if node.op != "call_function":
        return False
    if node.target is operator.getitem:
        return bool(node.all_input_nodes)
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and not is_mutable(node)
        and bool(tensors_of(node))
        and torch.Tag.nondeterministic_seeded not in node.target.tags
    )


def is_mutable(node: Node) -> bool:
    """Return true for an operator that changes one of its operands."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _is_result(node: Node, constants: dict[Node, int]) -> bool:
    """Return true for a computed tensor that an operator reads which is not a constant."""
    return (
        node.op == "call_function"
        and tensor_of(node) is not None
        and any(user not in constants for user in node.users)
    )


def _value(module: GraphModule, node: Node, known: dict[Node, Any]) -> Any:
    if node.op == "get_attr":
        return attribute(module, node)
    if node not in known:
        args, kwargs = map_arg(
            (node.args, node.kwargs), lambda source: _value(module, source, known)
        )
        assert callable(node.target)
        with torch.no_grad():
            known[node] = node.target(*args, **kwargs)
    return known[node]


def attribute(module: GraphModule, node: Any) -> Any:
    """Return the value of a parameter's or buffer's node, ``None`` for ``None``."""
    if node is None:
        return None
    owner, _, name = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)


def register(module: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    """Keep a copy of a value, as a parameter if it is real and as a buffer otherwise."""
    kept = value.detach().clone(memory_format=torch.contiguous_format)
    if kept.is_floating_point():
        module.register_parameter(name, torch.nn.Parameter(kept, requires_grad=False))
    else:
        module.register_buffer(name, kept)


def drop_unread(module: GraphModule, names: set[str]) -> None:
    """Delete those of the parameters and buffers that the program no longer reads."""
    drop(module, names - {str(n.target) for n in module.graph.nodes if n.op == "get_attr"})


def drop(module: torch.nn.Module, names: set[str]) -> None:
    """Delete parameters and buffers."""
    for path in names:
        owner, _, name = path.rpartition(".")
        delattr(module.get_submodule(owner), name)
