"""The form of a program without complex numbers, for targets that have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Interpreter, Node
from torch.fx.node import map_aggregate

from edgeexpo.errors import ExportError
from edgeexpo.program.capture import Program, example_inputs, recapture
from edgeexpo.program.complex_pairs import Pair, on_pairs
from edgeexpo.program.constants import attribute, drop, register
from edgeexpo.program.fourier import TRANSFORMS, transform, waves
from edgeexpo.program.source import shown
from edgeexpo.program.values import tensor_of, tensors_of


def has_complex(program: Program) -> bool:
    """Return true if a program computes with complex numbers."""
    return any(part.is_complex() for n in program.exported.graph.nodes for part in tensors_of(n))


def transforms_varying_sides(program: Program) -> bool:
    """Return true if a program has a Fourier transform of an axis whose length varies."""
    values = [tensor_of(n.args[0]) for n in program.exported.graph.nodes if n.target in TRANSFORMS]
    return any(not isinstance(side, int) for v in values if v is not None for side in v.shape[1:])


def real_form(program: Program) -> Program:
    """Return ``program`` with pairs of real tensors in place of complex tensors.

    Fourier transforms become products with constant matrices. The sides that they transform must
    have fixed lengths (:func:`transforms_varying_sides`).

    Raises:
        ExportError: An operator on complex numbers is unknown. The message names it and the line.
    """
    module = program.exported.module(check_guards=False)
    assert isinstance(module, GraphModule)
    real = _RealForm(module)
    with torch.no_grad():
        real(*example_inputs(program, program.sizes.largest))  # makes the constant matrices
    return recapture(program, _with_inputs(real, program.inputs), program.precision)


def _with_inputs(module: torch.nn.Module, names: Sequence[str]) -> GraphModule:
    """Return a graph module with named inputs, which torch needs for sizes that vary."""
    graph = Graph()
    graph.output(graph.call_module("real", tuple(graph.placeholder(name) for name in names)))
    return GraphModule({"real": module}, graph)


class _RealForm(torch.nn.Module):
    """A module that computes a program's graph with pairs."""

    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__()
        self.network = graph_module
        self.constants: dict[str, str] = {}
        for node in graph_module.graph.nodes:
            value = attribute(graph_module, node) if node.op == "get_attr" else None
            if isinstance(value, torch.Tensor) and value.is_complex():
                name = f"pair_{len(self.constants)}"
                self.constants[str(node.target)] = name
                register(self, f"{name}_real", value.real)
                register(self, f"{name}_imag", value.imag)
        drop(graph_module, set(self.constants))

    def forward(self, *inputs: torch.Tensor) -> Any:
        with torch.fx.traceback.preserve_node_meta():
            return _Pairs(self).run(*inputs)

    def matrix(self, kind: str, length: int, norm: str) -> torch.Tensor:
        """Return a constant matrix of a transform, made on first use."""
        name = f"waves_{kind}_{length}_{norm}".replace(" ", "_")
        if not hasattr(self, name):
            register(self, name, waves(kind, length, norm))
        matrix: torch.Tensor = getattr(self, name)
        return matrix


class _Pairs(Interpreter):
    """An interpreter that holds complex values as pairs."""

    def __init__(self, owner: _RealForm) -> None:
        super().__init__(owner.network)
        self.extra_traceback = False  # it would be appended to our message
        self._owner = owner

    def run_node(self, n: Node) -> Any:
        """Compute one operator, on pairs where it is about complex numbers."""
        if n.op == "get_attr" and str(n.target) in self._owner.constants:
            name = self._owner.constants[str(n.target)]
            return Pair(*(getattr(self._owner, f"{name}_{part}") for part in ("real", "imag")))
        if n.op != "call_function" or not _is_complex(n):
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        with torch.fx.traceback.set_current_meta(n):
            if n.target in TRANSFORMS:
                return transform(n.target, args, kwargs, self._owner.matrix)
            function: Any = on_pairs(n.target) if _is_operator(n) else n.target
            if function is None:
                raise ExportError(
                    f"an operator on complex numbers has no real form: {shown(n)}; write that "
                    "line with real numbers"
                )
            return function(*args, **kwargs)


def _is_operator(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload)


def _is_complex(node: Node) -> bool:
    """Return true for an operator that reads or makes complex numbers."""
    found: list[bool] = [node.target in TRANSFORMS]
    for value in (node, *node.all_input_nodes):
        found += [part.is_complex() for part in tensors_of(value)]
    map_aggregate(node.args, lambda value: found.append(isinstance(value, complex)))
    return any(found)
