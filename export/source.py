"""Where in the user's code an operator or an error came from."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from torch.fx import GraphModule, Node

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_LIBRARIES = ("site-packages", "dist-packages", "/edgeexpo/export/", "<")
_OWN = Path(__file__).resolve().parent


def node_source(node: Node) -> str | None:
    """``file:line`` of the user's statement that made ``node``; ``None`` when it is not known.

    Files of edgeexpo itself are given relative to the package, a user's by name: a bundle tells
    nothing of the machine that made it.
    """
    trace = node.meta.get("stack_trace") or ""
    return _last_user_frame([(f, int(n)) for f, n in _FRAME.findall(trace)])


def find_source(error: BaseException) -> str:
    """``" at file:line"`` for the innermost frame of the user's code in a traceback, or ``""``."""
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    frames += [(f, int(n)) for f, n in _FRAME.findall(str(error))]
    place = _last_user_frame(frames)
    return f" at {place}" if place else ""


def graph_sources(module: GraphModule) -> dict[str, str]:
    """``{node name: file:line}`` of every operator whose origin is known."""
    found = ((n.name, node_source(n)) for n in module.graph.nodes if n.op == "call_function")
    return {name: place for name, place in found if place}


def _last_user_frame(frames: list[tuple[str, int]]) -> str | None:
    for name, line in reversed(frames):
        if _is_user_code(name):
            return f"{_short(name)}:{line}"
    return None


def _is_user_code(name: str) -> bool:
    if any(part in name for part in _LIBRARIES):
        return "edgeexpo/models/" in name
    path = Path(name).resolve()
    return path.is_file() and _OWN not in path.parents and "lib/python3" not in name


def _short(name: str) -> str:
    _head, separator, tail = name.rpartition("edgeexpo/models/")
    return f"{separator}{tail}" if separator else Path(name).name
