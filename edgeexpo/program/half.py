"""The fp16 program: the float program in half precision up to its exact tail."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_aggregate

from edgeexpo.program.capture import Program, recapture
from edgeexpo.program.constants import attribute, drop_unread, register
from edgeexpo.program.exact_tail import exact_tail
from edgeexpo.program.values import tensor_of, tensors_of

_TO = torch.ops.aten.to.dtype
_ARITHMETIC = frozenset(
    {
        torch.ops.aten.add.Tensor,
        torch.ops.aten.sub.Tensor,
        torch.ops.aten.mul.Tensor,
        torch.ops.aten.div.Tensor,
    }
)


def half(program: Program) -> Program:
    """Return ``program`` with weights and activations cast to float16.

    Inputs, the exact tail, complex numbers and the output stay in float32. The casts are part of
    the program. Therefore every target gets the same half-precision network.
    """
    module = program.exported.module()
    graph = module.graph
    output = next(n for n in graph.nodes if n.op == "output")
    exact = exact_tail(module) | _made_of_sizes(graph) | _complex(graph) | {output}
    guards = {n for n in graph.nodes if n.op == "call_module"}

    def readers(node: Node) -> list[Node]:
        return [user for user in node.users if user not in exact | guards]

    parameters = [n for n in graph.nodes if n.op == "get_attr"]
    names = {str(node.target) for node in parameters}
    for node in parameters:
        _halve(module, node, readers(node))
    for node in [n for n in graph.nodes if n.op == "placeholder" or n in exact - {output}]:
        if _floating(node):
            _cast_for(graph, node, torch.float16, readers(node))
    body = [n for n in graph.nodes if n not in exact and n.op in ("call_function", "get_attr")]
    casts = [n for n in body if n.target is _TO and n.args[1] is torch.float16]
    _freeze_scalars(module, [n for n in body if n.target in _ARITHMETIC])
    for node in body:
        if node not in casts and node.op == "call_function" and _floating(node):
            node.args, node.kwargs = map_aggregate((node.args, node.kwargs), _half_type)
            _cast_for(graph, node, torch.float32, [u for u in node.users if u in exact])
    drop_unread(module, names)
    graph.lint()
    module.recompile()
    return recapture(program, module, "fp16")


def _made_of_sizes(graph: Graph) -> set[Node]:
    """Return the operators that read no picture and no parameter, such as a grid of coordinates.

    They stay in float32, because float16 cannot count the columns of a wide picture.
    """
    found: set[Node] = set()
    for node in graph.nodes:
        if node.op == "call_function" and (
            not tensors_of(node) or all(source in found for source in node.all_input_nodes)
        ):
            found.add(node)
    return found


def _complex(graph: Graph) -> set[Node]:
    """Return the operators that read or make complex numbers, such as Fourier transforms.

    They stay in float32. torch computes them on a processor in no smaller type, and the sums of a
    transform can be larger than the largest float16.
    """
    made = {n for n in graph.nodes if any(part.is_complex() for part in tensors_of(n))}
    read = {user for node in made for user in node.users}
    return {node for node in made | read if node.op == "call_function"}


def _half_type(value: Any) -> Any:
    return torch.float16 if value is torch.float32 else value


def _freeze_scalars(module: torch.nn.Module, nodes: list[Node]) -> None:
    """Replace the Python numbers among the operands of ``nodes`` by fp16 constants.

    coremltools 9.0 reads a number as float32 and then computes the following operators in float32.
    """
    for index, node in enumerate(nodes):
        for position, value in enumerate(node.args[:2]):
            if not isinstance(value, float | int):
                continue
            name = f"_half_scalar_{index}_{position}"
            module.register_buffer(name, torch.tensor([value], dtype=torch.float16))
            with node.graph.inserting_before(node):
                constant = node.graph.get_attr(name)
            node.update_arg(position, constant)


def _cast_for(graph: Graph, node: Node, dtype: torch.dtype, users: list[Node]) -> None:
    if not users:
        return
    with graph.inserting_after(node):
        cast = graph.call_function(_TO, (node, dtype))
        cast.meta["stack_trace"] = node.meta.get("stack_trace")
    for user in users:
        user.replace_input_with(node, cast)


def _halve(module: GraphModule, node: Node, readers: list[Node]) -> None:
    """Let ``readers`` read a parameter or buffer in float16. Other operators keep float32."""
    value = attribute(module, node)
    if not readers or not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return
    name = f"half_{node.name}"
    register(module, name, value.half())
    with node.graph.inserting_after(node):
        copy = node.graph.get_attr(name)
    for user in readers:
        user.replace_input_with(node, copy)
    if not node.users:
        node.graph.erase_node(node)


def _floating(node: Node) -> bool:
    value = tensor_of(node)
    return value is not None and value.is_floating_point()
