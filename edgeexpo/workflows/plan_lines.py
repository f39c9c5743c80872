"""What happens to the operators of a network, by line of the user's code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch.fx import GraphModule

from edgeexpo.bundle.manifest import Refusal
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import INTEGER, float_nodes, is_weighted, operator_name
from edgeexpo.program.multiplications import multiplications
from edgeexpo.program.outside import Outside
from edgeexpo.program.source import node_source
from edgeexpo.program.values import tensor_of
from edgeexpo.quantization.quantizer import left_in_float
from edgeexpo.workflows.plan_result import EFFECTS, IN_FLOAT, OUTSIDE, REFUSED, PlannedLine

_PLACE = re.compile(r"(?P<operator>[\w.:]+) at (?P<source>[^\s;,()]+:\d+)")

_NO_KERNEL = "no integer kernel"
_NEIGHBOURS = "what it reads or gives is in float"


def refused_lines(refused: Iterable[Refusal]) -> list[PlannedLine]:
    """Return the line and operator that each refusal names."""
    found = []
    for refusal in refused:
        place = _PLACE.search(refusal.reason)
        operator, source = (_short(place["operator"]), place["source"]) if place else ("", None)
        where = (f"{refusal.target} {refusal.precision}",)
        found.append(PlannedLine(source, operator, REFUSED, where, refusal.reason))
    return found


def outside_lines(outside: Iterable[Outside], artifact: str) -> list[PlannedLine]:
    """Return the lines of operators outside every delegate of an artefact."""
    return [
        PlannedLine(o.source, _short(o.operator), OUTSIDE, (artifact,), _slow(o.share))
        for o in outside
    ]


def _short(name: str) -> str:
    """Return ``conv2d`` for ``aten.conv2d.default``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else name


def _slow(share: float) -> str:
    return f"{share:.0%} of the multiplications" if share else "no multiplications"


def float_lines(program: Program, quantized: Program) -> list[PlannedLine]:
    """Return the lines of operators that the INT8 program computes in float, with the reasons.

    Args:
        program: The float program.
        quantized: The INT8 program that was made from it.
    """
    rules = _rules(program.exported.module())
    found = []
    for node in float_nodes(quantized.exported.module()):
        if tensor_of(node) is None:
            continue
        name, source = operator_name(node), node_source(node)
        other = _NEIGHBOURS if name in INTEGER else _NO_KERNEL
        reason = rules.get((name, source), other)
        found.append(PlannedLine(source, name, IN_FLOAT, ("int8",), reason))
    return found


def _rules(module: GraphModule) -> Mapping[tuple[str, str | None], str]:
    """Return the rule that leaves an operator in float, by its name and line."""
    return {
        (operator_name(node), node_source(node)): rule
        for node, rule in left_in_float(module).items()
    }


def integer_share(quantized: Program) -> float:
    """Return the share of the multiplications that an INT8 program computes on integers."""
    module = quantized.exported.module()
    every = sum(multiplications(n) for n in module.graph.nodes if is_weighted(n))
    left = sum(multiplications(n) for n in float_nodes(module) if is_weighted(n))
    return 1 - left / max(every, 1)


def merged(lines: Iterable[PlannedLine]) -> tuple[PlannedLine, ...]:
    """Return the lines in the order of the code. Those that say the same become one."""
    found: dict[tuple[str | None, str, str, str], dict[str, None]] = {}
    for line in lines:
        key = (line.source, line.operator, line.effect, line.reason)
        found.setdefault(key, {}).update(dict.fromkeys(line.artifacts))
    made = [
        PlannedLine(source, operator, effect, tuple(where), reason)
        for (source, operator, effect, reason), where in found.items()
    ]
    return tuple(sorted(made, key=_order))


def _order(line: PlannedLine) -> tuple[bool, str, int, int]:
    file, _, number = (line.source or "").rpartition(":")
    return line.source is None, file, int(number or 0), EFFECTS.index(line.effect)
