"""Search for the line of the user's code that an operator or an error comes from."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from torch.fx import GraphModule, Node

from edgeexpo.failures import message_of

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_WORD = re.compile(r"[A-Za-z_][\w.]*\w")
_LIBRARIES = ("site-packages", "dist-packages", "<")
_COMMON = frozenset(("aten", "prims", "default", "tensor", "overload", "node", "input"))
SHORTEST = 3
"""Shortest word of a converter's message that is compared with operator names, in characters."""
_OWN = frozenset(
    (Path(__file__).parents[1] / folder).resolve()
    for folder in ("", "export", "quantization", "runtime")
)
"""Folders of edgeexpo's own code. A checkout has some of them outside the package's folder."""

_HELPERS = frozenset(
    (
        *("checkpoint_layout", "cost", "deployable", "footprint"),
        *("foreign", "pruned_weights", "weights", "zoo"),
    )
)
"""Modules of edgeexpo's models that hold no network."""


def node_source(node: Node) -> str | None:
    """Return ``file:line`` of the user's statement that made ``node``, or ``None`` if unknown.

    A file of edgeexpo's models is given relative to the package. Any other file is given by its
    name without folders, so that a bundle says nothing about the machine that made it.
    """
    trace = node.meta.get("stack_trace") or ""
    return _last_user_frame([(f, int(n)) for f, n in _FRAME.findall(trace)])


def find_source(error: BaseException) -> str:
    """Return ``" at file:line"`` for the innermost frame of the user's code, or ``""``.

    Frames are searched in the error's traceback and in its message.
    """
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    frames += [(f, int(n)) for f, n in _FRAME.findall(message_of(error))]
    place = _last_user_frame(frames)
    return f" at {place}" if place else ""


def graph_sources(module: GraphModule) -> dict[str, str]:
    """Return node name -> ``file:line`` for every operator whose origin is known."""
    found = ((n.name, node_source(n)) for n in module.graph.nodes if n.op == "call_function")
    return {name: place for name, place in found if place}


def blame(message: str, module: GraphModule) -> str:
    """Return ``"op at file:line"`` for the operator named in a converter's message, or ``""``.

    The line is left out if it is unknown.

    Converters name nodes after their own decompositions (``erf_inv`` for ``erfinv``). Names are
    therefore compared without underscores and trailing digits.
    """
    words = {_bare(part) for word in _WORD.findall(message) for part in word.split(".")}
    words = {word for word in words if len(word) >= SHORTEST} - _COMMON
    for node in (n for n in module.graph.nodes if n.op == "call_function"):
        name = str(node.target).split(".")[1] if "." in str(node.target) else node.name
        if _bare(name).endswith(tuple(words)):
            return shown(node)
    return ""


def shown(node: Node) -> str:
    """Return ``"op at file:line"`` for a node, without the line if it is unknown."""
    place = node_source(node)
    return f"{node.target} at {place}" if place else str(node.target)


def _bare(name: str) -> str:
    return name.replace("_", "").rstrip("0123456789").lower()


def _last_user_frame(frames: list[tuple[str, int]]) -> str | None:
    for name, line in reversed(frames):
        if _is_user_code(name):
            return f"{_short(name)}:{line}"
    return None


def _is_user_code(name: str) -> bool:
    path = Path(name).resolve()
    if any(part in name for part in _LIBRARIES) or not _OWN.isdisjoint(path.parents):
        return "edgeexpo/models/" in name and path.stem not in _HELPERS
    return path.is_file() and "lib/python3" not in name


def _short(name: str) -> str:
    _head, separator, tail = name.rpartition("edgeexpo/models/")
    return f"{separator}{tail}" if separator else Path(name).name
