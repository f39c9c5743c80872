"""Stages of an export: what any of them raises becomes one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from torch.fx import GraphModule, Node

from edgeexpo.errors import EdgeexpoError, ExportError
from edgeexpo.failures import described, message_of, unforeseen
from edgeexpo.program.source import blame, find_source, node_source

_NAMED = re.compile(r"%(\w+)")
_BY_VALUES = ("data-dependent", "data dependent", "guardondatadependent", "unbacked symint")


@contextlib.contextmanager
def stage(
    doing: str,
    advice: str,
    graph: GraphModule | None = None,
    kind: type[EdgeexpoError] = ExportError,
) -> Iterator[None]:
    """Turn every exception of the block that is not typed into one line.

    The line says what was being done, names the operator and the user's line where they are known,
    and gives the advice. The file with the trace is a note of the error, since it is of this host.

    Args:
        doing: What the block does, as in ``lowering to onnx``.
        advice: What the user can do.
        graph: Graph of the network, in which the operator is looked up.
        kind: Class of the error that is raised instead.

    Raises:
        EdgeexpoError: Of class ``kind``; or the block's own, unchanged.
    """
    try:
        yield
    except (EdgeexpoError, MemoryError):
        raise
    except Exception as error:  # a library may raise anything
        typed = kind(f"{doing} failed: {reason(error, graph)}; {advice}")
        typed.add_note(unforeseen(error, doing))
        raise typed from error


def reason(error: BaseException, graph: GraphModule | None = None) -> str:
    """Return the cause of a library's exception in one line, with the operator and the line.

    An exception about sizes or branches that depend on values says only that: its own message is a
    graph of symbols.

    Args:
        error: The exception.
        graph: Graph of the network, in which the operator is looked up.
    """
    place = culprit(error, graph)
    words = "it depends on the values of the picture" if by_values(error) else described(error)
    return f"{words}{f' ({place})' if place else ''}"


def by_values(error: BaseException) -> bool:
    """Return true for an exception about an operation that depends on a tensor's values."""
    found = [f"{type(e).__name__} {message_of(e)}".lower() for e in _chain(error)]
    return any(words in text for text in found for words in _BY_VALUES)


def culprit(error: BaseException, graph: GraphModule | None = None) -> str:
    """Return ``"op at file:line"`` for the operator that an exception is about, or less, or ``""``.

    A message that names a node of the graph is the surest, then one that names an operator. The
    user's line alone comes from the trace.
    """
    nodes = {} if graph is None else {n.name: n for n in graph.graph.nodes}
    for text in map(message_of, _chain(error)):
        named = (nodes[name] for name in _NAMED.findall(text) if name in nodes)
        for node in named:
            if node.op == "call_function":
                return _shown(node)
    if graph is not None and (place := blame(described(error), graph)):
        return place
    return next((p for e in _chain(error) if (p := find_source(e).removeprefix(" "))), "")


def _shown(node: Node) -> str:
    place = node_source(node)
    return f"{node.target} at {place}" if place else str(node.target)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found
