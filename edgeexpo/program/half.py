"""The fp16 program: the float program in half precision up to its exact tail."""

from __future__ import annotations

import torch
from torch.fx import Graph, Node

from edgeexpo.program.capture import Program, recapture
from edgeexpo.program.exact_tail import exact_tail
from edgeexpo.program.values import tensor_of

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

    Inputs, the exact tail and the output stay in float32. The casts are part of the program.
    Therefore every target gets the same half-precision network.
    """
    module = program.exported.module()
    graph = module.graph
    tail = exact_tail(module)
    inputs = [n for n in graph.nodes if n.op == "placeholder"]
    parameters = [n for n in graph.nodes if n.op == "get_attr"]
    output = next(n for n in graph.nodes if n.op == "output")
    exact = tail | {output}
    guards = {n for n in graph.nodes if n.op == "call_module"}
    for node in parameters:
        if any(user not in exact for user in node.users):
            _halve(module, str(node.target))
    for node in inputs:
        _cast_for(graph, node, torch.float16, [u for u in node.users if u not in exact | guards])
    body = [n for n in graph.nodes if n not in exact and n.op in ("call_function", "get_attr")]
    _freeze_scalars(module, [n for n in body if n.target in _ARITHMETIC])
    for node in body:
        users = [u for u in node.users if u in exact]
        if users and node.target is not _TO and _floating(module, node):
            _cast_for(graph, node, torch.float32, users)
    graph.lint()
    module.recompile()
    return recapture(program, module, "fp16")


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


def _halve(module: torch.nn.Module, path: str) -> None:
    owner_path, _, name = path.rpartition(".")
    owner = module.get_submodule(owner_path)
    value = getattr(owner, name)
    if not value.is_floating_point():
        return
    if isinstance(value, torch.nn.Parameter):
        setattr(owner, name, torch.nn.Parameter(value.detach().half(), requires_grad=False))
    else:
        owner.register_buffer(name, value.half())


def _floating(module: torch.nn.Module, node: Node) -> bool:
    if node.op == "get_attr":
        return False
    value = tensor_of(node)
    return value is not None and value.is_floating_point()
