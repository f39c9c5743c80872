"""Run a program of the bundle node by node, with an artefact's values in place of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.parity.localisation.trace import Grid, kind
from edgeexpo.parity.reference import deterministic
from edgeexpo.program.exact_tail import operator_name
from edgeexpo.program.source import node_source

Visit = Callable[[Node, np.ndarray], np.ndarray | None]
"""Function that sees the value of a node; its result, if any, replaces the value from there on."""

_QUANTIZERS = ("quantize_per_tensor", "dequantize_per_tensor")


class Substituting(Interpreter):
    """Runs a program and lets ``visit`` see, and replace, every computed floating-point value.

    With an artefact's values in place, each operator is judged on the artefact's inputs of that
    operator. Errors of earlier layers do not count again.
    """

    def __init__(self, module: GraphModule, visit: Visit) -> None:
        super().__init__(module)
        self._visit = visit
        self._computed = computed(module)

    def run_node(self, n: Node) -> Any:
        """Return the node's value or its replacement."""
        value = super().run_node(n)
        if n not in self._computed or not isinstance(value, torch.Tensor):
            return value
        if not value.is_floating_point():
            return value
        replacement = self._visit(n, value.float().numpy())
        return value if replacement is None else torch.from_numpy(replacement).to(value.dtype)


def run_program(
    module: GraphModule, inputs: Mapping[str, np.ndarray], names: tuple[str, ...], visit: Visit
) -> None:
    """Run ``module`` once on NCHW float32 ``inputs``, taken in the order of ``names``."""
    tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names]
    with torch.no_grad(), deterministic():
        Substituting(module, visit).run(*tensors)


def computed(module: GraphModule) -> set[Node]:
    """Return the operators that depend on the picture.

    Operators on weights alone are not layers.
    """
    found: set[Node] = set()
    for node in module.graph.nodes:
        depends = any(n.op == "placeholder" or n in found for n in node.all_input_nodes)
        if node.op == "call_function" and depends:
            found.add(node)
    return found


def is_traced_weighted(node: Node) -> bool:
    """Return true for convolutions and matrix products."""
    return node_kind(node) in ("conv", "conv_transpose", "linear")


def node_kind(node: Node) -> str:
    """Return the node's operator in common words.

    See :func:`edgeexpo.parity.localisation.trace.kind`.
    """
    return kind(operator_name(node))


def is_quantizer(node: Node) -> bool:
    """Return true for either half of a quantise/dequantise pair of an activation."""
    return operator_name(node) in _QUANTIZERS


def unquantized(node: Node) -> Node:
    """Return the operator before a quantise/dequantise pair, or ``node`` itself otherwise."""
    while is_quantizer(node):
        source = node.args[0]
        assert isinstance(source, Node)
        node = source
    return node


def node_grid(node: Node) -> Grid | None:
    """Return the quantisation grid of a ``dequantize_per_tensor`` node, otherwise ``None``."""
    if operator_name(node) != "dequantize_per_tensor":
        return None
    stored = node.args[1:5]
    if not all(isinstance(part, (int, float)) for part in stored):
        return None
    scale, zero_point, low, high = (float(part) for part in stored)  # type: ignore[arg-type]
    return Grid(scale, int(zero_point), int(low), int(high))


def module_path(node: Node) -> str:
    """Return the node's place in the user's module (``body.2``), or ``""`` if it is unknown."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return "" if "Wrapper" in str(stack[-1:]) else path


def place(node: Node, sources: Mapping[str, str]) -> str:
    """Return ``file:line`` of the user's statement that made ``node``, or ``""``."""
    return sources.get(node.name) or node_source(node) or ""
