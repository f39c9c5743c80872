"""A program in the form that LiteRT's converter takes: one size, weights quantised in the graph."""

from __future__ import annotations

from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators below
from torch.fx import GraphModule, Node

from edgeexpo.export.litert_transposed import constant, split_transposed_graph
from edgeexpo.program.capture import Program, at_one_size, recapture

_OPS = torch.ops.quantized_decomposed
_QUANTIZE: dict[Any, Any] = {
    _OPS.dequantize_per_channel.default: _OPS.quantize_per_channel.default,
    _OPS.dequantize_per_tensor.default: _OPS.quantize_per_tensor.default,
}

_LOWEST = -3e38


def litert_form(program: Program) -> Program:
    """``program`` at its largest size, as litert-torch 0.10.0 needs it to mean the same.

    Stored codes become float weights that the graph quantises, since codes are taken for weights of
    another kind and refused: a code times its scale, quantised at that scale, is that code again.
    Every reader gets a dequantiser of its own: where two share one, the converter puts the channels
    last for one of them and forgets it for the other. Inputs that are quantised and also read as
    they are pass a clamp that changes no number: without, the converter rounds all their readers
    alike, the exact path of a residual network among them.
    """
    module = program.exported.module()
    split_transposed_graph(module)
    for node in [n for n in module.graph.nodes if n.target in _QUANTIZE]:
        source = node.args[0]
        if isinstance(source, Node) and source.op == "get_attr":
            _quantise_in_graph(module, node, source)
    _separate_dequantisers(module)
    _guard_inputs(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    return recapture(at_one_size(program), module, program.precision)


def _quantise_in_graph(module: GraphModule, node: Node, source: Node) -> None:
    dequantize: Any = node.target
    name = f"{str(source.target).replace('.', '_')}_real"
    module.register_buffer(name, dequantize(*(_value(module, a) for a in node.args)))
    with module.graph.inserting_before(node):
        real = module.graph.get_attr(name)
        codes = module.graph.call_function(_QUANTIZE[dequantize], (real, *node.args[1:]))
    codes.meta.update(source.meta)
    node.replace_input_with(source, codes)


def _separate_dequantisers(module: GraphModule) -> None:
    for node in [n for n in module.graph.nodes if n.target in _QUANTIZE]:
        for user in list(node.users)[1:]:
            with module.graph.inserting_before(user):
                copy = module.graph.node_copy(node)
            user.replace_input_with(node, copy)


def _guard_inputs(module: GraphModule) -> None:
    for node in [n for n in module.graph.nodes if n.op == "placeholder"]:
        quantised = [u.target in _QUANTIZE.values() for u in node.users]
        if any(quantised) and not all(quantised):
            with module.graph.inserting_after(node):
                guard = module.graph.call_function(torch.ops.aten.clamp.default, (node, _LOWEST))
            node.replace_all_uses_with(guard, lambda user, guard=guard: user is not guard)


def _value(module: GraphModule, argument: object) -> object:
    return constant(module, argument) if isinstance(argument, Node) else argument
