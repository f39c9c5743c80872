"""Rewriting of a program for LiteRT's converter: one size, and weights quantised in the graph."""

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
"""Lower bound of a clamp that changes no float32 value of a picture."""


def litert_form(program: Program) -> Program:
    """Return ``program`` at its largest size, in a form that litert-torch 0.10.0 gets right.

    Stored weight codes become float weights that the graph quantises, because the converter refuses
    stored codes. The codes stay the same: a code times its scale, quantised at that scale, is that
    code again.

    Every reader gets its own dequantiser. If two readers share one, the converter moves the
    channels to the last axis for only one of them.

    An input may have quantised and float readers. Such an input passes a clamp that changes no
    number. Without the clamp, the converter would round the input for all readers, including the
    exact path of a residual network.
    """
    module = program.exported.module(check_guards=False)
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
