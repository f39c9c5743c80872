"""ExecuTorch's passes without traces that change nothing (executorch 1.5.1, torch 2.13)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from executorch.exir.pass_base import ExportPass
from torch.fx import GraphModule
from torch.fx.passes.infra.pass_base import PassResult
from torch.fx.traceback import NodeSource

from edgeexpo.replaced import replaced

_TRACED = "edgeexpo_traced"
"""Key under which a graph keeps its text at the end of its last trace."""

_HOOKS = ("call_", "placeholder", "output", "inputs", "on_attr")
"""Beginnings of the names of the methods by which a pass changes a graph while it is traced."""

_call: Callable[[ExportPass, GraphModule], PassResult] = ExportPass.call


@contextlib.contextmanager
def changed_graphs_alone_are_traced() -> Iterator[None]:
    """Trace a graph after a pass only if the pass changed it, inside the block.

    XNNPACK's delegate runs 17 passes over each of its parts. Each traces the whole part again at
    its end, although most find nothing to do.

    Inside the block, nodes also share the record of what they were made from. Otherwise each trace
    copies this record, which grows with each trace.
    """
    with replaced(ExportPass, "call", _if_changed), _shared_sources():
        yield


def _if_changed(self: ExportPass, graph_module: GraphModule) -> PassResult:
    if _has_hooks(type(self)):
        return _call(self, graph_module)
    text = _text(graph_module)
    if text is not None and graph_module.meta.get(_TRACED) == text:
        return PassResult(graph_module, True)
    result = _call(self, graph_module)
    result.graph_module.meta[_TRACED] = _text(result.graph_module)
    return result


def _has_hooks(kind: type[ExportPass]) -> bool:
    """Return whether a pass does something in its trace."""
    own = kind.__mro__[: kind.__mro__.index(ExportPass)]
    return any(name.startswith(_HOOKS) for c in own for name in vars(c))


def _text(graph_module: GraphModule) -> list[tuple[Any, ...]] | None:
    """Return all that a trace of a graph depends on, or nothing for a graph with submodules."""
    nodes = graph_module.graph.nodes
    if any(node.op == "get_attr" for node in nodes):
        return None
    return [
        (n.op, n.name, n.target, str(n.args), str(n.kwargs), id(n.meta.get("val"))) for n in nodes
    ]


@contextlib.contextmanager
def _shared_sources() -> Iterator[None]:
    """Copy no :class:`~torch.fx.traceback.NodeSource`, of which none changes once it is made."""
    kind: Any = NodeSource
    kind.__deepcopy__ = lambda self, _: self
    try:
        yield
    finally:
        del kind.__deepcopy__
