"""The check of gates: whether each holds, and whether only because rounding explains the value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgeexpo.parity.cases import PHOTOGRAPH, PROBE
from edgeexpo.parity.gates import HALF_PSNR, SAME_POWER, gate_holds
from edgeexpo.parity.rounding import Rounding
from edgeexpo.spec import Gate

GateResult = Mapping[str, Mapping[str, float]]
"""Metrics by statistic and name, as gates use them."""

KINDS: Mapping[str, str] = MappingProxyType({"worst": PHOTOGRAPH, "worst_probe": PROBE})
"""Kind of the pictures over which a statistic of single pictures is taken."""

Rows = Sequence[Mapping[str, Any]]
"""The metrics of every picture."""


@dataclass(frozen=True)
class Judgement:
    """A gate with the value it was checked with.

    Attributes:
        gate: The gate, with the bound that decided.
        key: Name of the value in the rows.
        value: The value.
        holds: True if the value respects the bound.
        explained: True if the value respects only the bound that rounding gives.
    """

    gate: Gate
    key: str
    value: float
    holds: bool
    explained: bool = False


def judged(
    gates: Sequence[Gate], found: GateResult, rounding: Rounding, rows: Rows = ()
) -> Iterator[Judgement]:
    """Check gates; those without a value are left out.

    Args:
        gates: The gates.
        found: Metrics by statistic, as :func:`edgeexpo.parity.verdict.statistics` gives them.
        rounding: What rounding explains. Without a noise floor, gates on PSNR relative to it are
            left out.
        rows: The metrics of every picture. Without them, rounding explains nothing in float.
    """
    for gate in gates:
        suffix = "_quantized" if gate.reference in ("quantized", "weights") else ""
        key = f"{gate.metric}{suffix}"
        value = found[gate.statistic].get(key)
        if value is None:
            continue
        if gate.metric == "psnr" and gate.reference in ("floor", "quantized"):
            if rounding.floor is None:
                continue
            bounds = noise_bounds(gate, rounding.floor, rounding)
        elif gate.reference == "rounding":
            value, bound = _least_explained(gate, value, rounding, rows)
            bounds = iter([gate.bound, bound])
        else:
            bounds = iter([gate.bound])
        yield _first_that_holds(gate, key, value, bounds)


def _first_that_holds(gate: Gate, key: str, value: float, bounds: Iterator[float]) -> Judgement:
    for attempt, bound in enumerate(bounds):
        bounded = dataclasses.replace(gate, bound=bound)
        if gate_holds(bounded, value):
            return Judgement(bounded, key, value, holds=True, explained=attempt > 0)
    return Judgement(bounded, key, value, holds=False)


def noise_bounds(gate: Gate, floor: float, rounding: Rounding) -> Iterator[float]:
    """Yield the bounds in dB of a gate on rounding noise. It holds if the value respects one.

    The first bound follows from the noise floor. The second, which takes time, follows from draws
    of the rounding of the quantised program. The parts of an artefact in float may be computed in
    fp16, so the noise that fp16 may have is added to both.
    """
    yield _with_float_parts(floor + gate.bound)
    if rounding.draws is None:
        return
    if gate.reference == "floor":
        drawn = rounding.draws.to_float + gate.bound
    else:
        drawn = rounding.draws.apart - SAME_POWER
    yield _with_float_parts(min(drawn, floor + gate.bound))


def _with_float_parts(bound: float) -> float:
    """Return the PSNR in dB of noise at ``bound`` together with the noise that fp16 may have."""
    return -10 * math.log10(10 ** (-bound / 10) + 10 ** (-HALF_PSNR / 10))


def _least_explained(
    gate: Gate, worst: float, rounding: Rounding, rows: Rows
) -> tuple[float, float]:
    """Return the worst value that rounding does not explain, with its bound.

    If rounding explains every value, return the last one.
    """
    kind = KINDS[gate.statistic]
    found = [(row[gate.metric], row["name"]) for row in rows if row["kind"] == kind]
    beyond = sorted((entry for entry in found if not gate.holds(entry[0])), reverse=True)
    value, bound = worst, gate.bound
    for value, name in beyond:
        bound = max(gate.bound, rounding.largest_error(name))
        if not value <= bound:
            break
    return value, bound
