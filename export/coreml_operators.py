"""Rewriting of operators that Core ML's converter does not know by operators that it knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from edgeexpo.coremltools_import import light_coremltools
from edgeexpo.export.coreml_angles import four_quadrants
from edgeexpo.export.coreml_decompositions import PLAIN
from edgeexpo.export.coreml_ranks import drop_unit_axes
from edgeexpo.export.coreml_unpooling import unpool_by_phases
from edgeexpo.program.filled import plain_fills
from edgeexpo.program.masks import logical_masks
from edgeexpo.program.values import tensor_of

_NORMALISATIONS = (
    torch.ops.aten.layer_norm.default,
    torch.ops.aten.group_norm.default,
    torch.ops.aten.instance_norm.default,
)

_MAX_POOLINGS = (
    torch.ops.aten.max_pool1d.default,
    torch.ops.aten.max_pool2d.default,
    torch.ops.aten.max_pool3d.default,
    torch.ops.aten.max_pool2d_with_indices.default,
    torch.ops.aten.max_pool3d_with_indices.default,
)


def coreml_form(exported: ExportedProgram) -> ExportedProgram:
    """Return ``exported`` with every operator replaced that the converter does not take.

    Such an operator is replaced by torch's own decomposition. All other operators stay whole,
    because a decomposed ``gelu`` or ``pixel_shuffle`` would be slower on a device. An operator that
    torch cannot decompose also stays, and the converter then reports it.

    Operators whose decomposition does not help are rewritten: :mod:`.coreml_angles`,
    :mod:`edgeexpo.program.masks`, :mod:`.coreml_ranks` and :mod:`.coreml_unpooling`. Normalisations
    of fp16 values are put between casts to float32, which the converter's fp16 pass removes again.
    """
    with light_coremltools():
        from coremltools.converters.mil.frontend.torch.torch_op_registry import (
            is_torch_fx_node_supported,
        )

    known = {**torch.export.default_decompositions(), **PLAIN}
    chosen: dict[Any, Callable[..., Any]] = {torch.ops.aten.atan2.default: four_quadrants}
    while True:
        exported = exported.run_decompositions(chosen)
        plain_fills(exported.graph_module)
        for rewrite in _REWRITES:
            rewrite(exported.graph)
        _name_outputs(exported)
        operators = {
            node.target
            for node in exported.graph.nodes
            if isinstance(node.target, torch._ops.OpOverload)
            and (node.target in PLAIN or not is_torch_fx_node_supported(node))
        }
        new = {op: known[op] for op in operators - chosen.keys() if op in known}
        if not new:
            return exported
        chosen |= new


def _name_outputs(exported: ExportedProgram) -> None:
    """Let the program's signature name the operators that now make its outputs."""
    output = next(n for n in exported.graph.nodes if n.op == "output")
    specs = exported.graph_signature.output_specs
    for spec, source in zip(specs, output.all_input_nodes, strict=False):
        spec.arg.name = source.name


def _state_strides(graph: Graph) -> None:
    """Give max poolings that leave out their stride the stride of their window.

    coremltools 9.0 demands a stride there, although torch's own default is the window.
    """
    for node in graph.nodes:
        if node.target in _MAX_POOLINGS and len(node.args) == 2 and "stride" not in node.kwargs:
            node.args = (*node.args, node.args[1])


def _normalise_in_float(graph: Graph) -> None:
    """Cast the inputs of fp16 normalisations to float32, and their results back to float16.

    coremltools 9.0 always writes their ``epsilon`` as float32. It then refuses operators whose
    inputs have two types.
    """
    for node in list(graph.nodes):
        if node.target not in _NORMALISATIONS or not _is_half(node.args[0]):
            continue
        with graph.inserting_before(node):
            node.args = tuple(
                _cast(graph, value, torch.float32) if _is_half(value) else value
                for value in node.args
            )
        with graph.inserting_after(node):
            back = _cast(graph, node, torch.float16)
        node.replace_all_uses_with(back, delete_user_cb=lambda user, back=back: user is not back)
        back.meta["val"] = node.meta["val"]
        node.meta["val"] = node.meta["val"].float()


def _is_half(value: Any) -> bool:
    found = tensor_of(value)
    return found is not None and found.dtype == torch.float16


def _cast(graph: Graph, value: Node, kind: torch.dtype) -> Node:
    cast = graph.call_function(torch.ops.aten._to_copy.default, (value,), {"dtype": kind})
    cast.meta["val"] = value.meta["val"].to(kind)
    return cast


_REWRITES = (
    unpool_by_phases,
    logical_masks,
    drop_unit_axes,
    _state_strides,
    _normalise_in_float,
)
"""Rewrites by operators that the converter takes. Each one changes a graph in place."""
