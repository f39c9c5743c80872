"""A program in the form that LiteRT's converter takes: one size, weights quantised in the graph."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.export.program import Program, recapture
from edgeexpo.spec import SizeRange

_OPS = torch.ops.quantized_decomposed
_QUANTIZE: dict[Any, Any] = {
    _OPS.dequantize_per_channel.default: _OPS.quantize_per_channel.default,
    _OPS.dequantize_per_tensor.default: _OPS.quantize_per_tensor.default,
}


def prepared(program: Program) -> Program:
    """``program`` at its largest size, with stored codes as float weights that it quantises.

    litert-torch 0.10.0 takes codes for weights of another kind and refuses the graph. A code times
    its scale, quantised at that scale, is that code again.
    """
    module = program.exported.module()
    for node in [n for n in module.graph.nodes if n.target in _QUANTIZE]:
        source = node.args[0]
        if isinstance(source, Node) and source.op == "get_attr":
            _quantise_in_graph(module, node, source)
    module.graph.eliminate_dead_code()
    module.recompile()
    return recapture(at_one_size(program), module, program.precision)


def at_one_size(program: Program) -> Program:
    """``program`` described as one that takes its largest size alone."""
    only = program.sizes.largest
    sizes = SizeRange(largest=only, smallest=only, multiple=program.sizes.multiple)
    return dataclasses.replace(program, sizes=sizes)


def _quantise_in_graph(module: GraphModule, node: Node, source: Node) -> None:
    dequantize: Any = node.target
    name = f"{str(source.target).replace('.', '_')}_real"
    module.register_buffer(name, dequantize(*(_value(module, a) for a in node.args)))
    with module.graph.inserting_before(node):
        real = module.graph.get_attr(name)
        codes = module.graph.call_function(_QUANTIZE[dequantize], (real, *node.args[1:]))
    codes.meta.update(source.meta)
    node.replace_input_with(source, codes)


def _value(module: GraphModule, argument: object) -> object:
    if not isinstance(argument, Node):
        return argument
    owner, _, name = str(argument.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)
