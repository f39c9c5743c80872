"""Stages of an export: what any of them raises becomes one line."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator
from typing import Any

from torch.fx import GraphModule
from torch.fx.graph_module import _WrappedCall

from edgeexpo.errors import EdgeexpoError, ExportError
from edgeexpo.failures import described, message_of, out_of_memory, unforeseen
from edgeexpo.program.source import blame, find_source, shown
from edgeexpo.replaced import replaced

_NAMED = re.compile(r"%(\w+)")
_ASSIGNED = re.compile(r"\s*(\w+) = ")
_OPERATOR = re.compile(r"torch\.ops\.([\w.]+)\(")
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
        with _traced_modules_keep_traces():
            yield
    except (EdgeexpoError, MemoryError):
        raise
    except Exception as error:  # a library may raise anything
        if out_of_memory(error):
            raise MemoryError from error
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
    words = (
        "it depends on the values of the picture" if by_values(error) else described(_root(error))
    )
    return f"{words}{f' ({place})' if place else ''}"


def by_values(error: BaseException) -> bool:
    """Return true for an exception about an operation that depends on a tensor's values."""
    found = [f"{type(e).__name__} {message_of(e)}".lower() for e in _chain(error)]
    return any(words in text for text in found for words in _BY_VALUES)


def culprit(error: BaseException, graph: GraphModule | None = None) -> str:
    """Return ``"op at file:line"`` for the operator that an exception is about, or less, or ``""``.

    The line of a traced module in the trace is the surest, then a message that names a node of the
    graph or an operator. The user's line alone comes from the trace.
    """
    nodes = {} if graph is None else {n.name: n for n in graph.graph.nodes}
    chain = _chain(error)
    named = [name for e in chain for name in (*_traced_names(e), *_NAMED.findall(message_of(e)))]
    for node in (nodes[name] for name in named if name in nodes):
        if node.op == "call_function":
            return shown(node)
    operators = [operator for e in chain for operator in _traced_operators(e)]
    if operators:
        return operators[0]
    if graph is not None and (place := blame(described(_root(error)), graph)):
        return place
    return next((p for e in chain if (p := find_source(e).removeprefix(" "))), "")


def _traced_lines(error: BaseException) -> list[str]:
    """Return the statements of traced modules in the trace of an exception, innermost first."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return [frame.line or "" for frame in frames if "eval_with_key" in frame.filename]


def _traced_names(error: BaseException) -> list[str]:
    return [found[1] for line in _traced_lines(error) if (found := _ASSIGNED.match(line))]


def _traced_operators(error: BaseException) -> list[str]:
    return [found[1] for line in _traced_lines(error) if (found := _OPERATOR.search(line))]


def _root(error: BaseException) -> BaseException:
    """Return the deepest cause that was given for an exception, or the exception itself."""
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    return error


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and what it came from, deepest last."""
    found: dict[int, BaseException] = {}
    following: BaseException | None = error
    while following is not None and id(following) not in found:
        found[id(following)] = following
        following = following.__cause__ or following.__context__
    return list(found.values())


def _traced_modules_keep_traces() -> contextlib.AbstractContextManager[None]:
    """Let errors inside traced modules pass.

    torch 2.13 prints the trace of some of them on stderr, and raises them without their trace.
    """
    return replaced(_WrappedCall, "__call__", _plain_call)


def _plain_call(self: _WrappedCall, module: Any, *args: Any, **kwargs: Any) -> Any:
    if self.cls_call is not None:
        return self.cls_call(module, *args, **kwargs)
    return super(self.cls, module).__call__(*args, **kwargs)  # type: ignore[arg-type]
