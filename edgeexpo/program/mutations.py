"""Rewriting of operators that change a tensor in place by operators that return a new tensor."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgeexpo.errors import ModuleError
from edgeexpo.program.constants import is_mutable
from edgeexpo.program.source import node_source


def without_mutations(exported: ExportedProgram) -> tuple[GraphModule, bool]:
    """Return a program's graph module without operators that change a tensor in place.

    Quantisers and converters take ``x[:, 0] = y`` for an operator without a result and drop it.
    torch's own functionalisation writes it as ``x = select_scatter(x, y, 1, 0)``. What ``forward``
    writes into its own input is not part of the result.

    The module has no guards. They are the branches that ``forward`` took on the sizes of the
    example. The proof at other sizes (:mod:`edgeexpo.program.agreement`) says whether they matter.

    Returns:
        The graph module, and whether it differs from the program.

    Raises:
        ModuleError: The result depends on a buffer that ``forward`` changes.
    """
    if not any(is_mutable(node) for node in exported.graph.nodes):
        return exported.module(check_guards=False), False
    module = exported.run_decompositions({}).module(check_guards=False)
    assert isinstance(module, GraphModule)
    for node in [n for n in module.graph.nodes if is_mutable(n)]:
        kept = node.args[0]
        assert isinstance(kept, Node)
        module.graph.erase_node(node)
        if kept.op == "get_attr" and _reaches_output(kept):
            raise ModuleError(
                f"forward changes its buffer {str(kept.target)!r}{_place(exported)} and reads it; "
                "expected the same result for the same picture: return the state and take it as "
                "an input, or keep it constant"
            )
    module.graph.eliminate_dead_code()
    module.recompile()
    return module, True


def _reaches_output(node: Node) -> bool:
    waiting, seen = [node], {node}
    while waiting:
        for user in waiting.pop().users:
            if user.op == "output":
                return True
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return False


def _place(exported: ExportedProgram) -> str:
    """Return ``" at file:line"`` of the first operator that changes a buffer."""
    buffers = set(exported.graph_signature.inputs_to_buffers)
    for node in exported.graph.nodes:
        if is_mutable(node) and any(source.name in buffers for source in node.all_input_nodes):
            place = node_source(node)
            return f" at {place}" if place else ""
    return ""
