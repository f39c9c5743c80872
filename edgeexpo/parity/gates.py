"""Default bounds, and bounds from the command line."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from edgeexpo.errors import UsageError
from edgeexpo.parity.metrics.pictures import ALL, LARGER_IS_BETTER, RELATIONS
from edgeexpo.spec import Gate

_GATE = re.compile(
    r"^\s*(?P<metric>\w+)(?P<probes>@probes)?\s*(?P<sign>>=|<=)\s*(?P<bound>-?[\d.]+(?:e-?\d+)?)\s*$"
)

FLAT_PSNR = 32.0
"""PSNR in dB of a mid-grey area that is off by nearly a CIEDE2000 of 3 in lightness (2.5 %)."""

SAME_POWER = 1.0
"""Decibels by which an artefact's rounding noise may exceed that of the quantised program."""

TWO_DRAWS = 10 * math.log10(1 + 10 ** (SAME_POWER / 10))
"""Decibels between one draw of rounding noise and its difference to another, independent one that
is :data:`SAME_POWER` stronger: the powers add."""


ON_PHOTOGRAPHS: Mapping[str, float] = MappingProxyType(
    {
        "nonfinite": 0.0,
        "orientation": 0.0,
        "channel_order": 0.0,
        "pixel_shift": 0.1,
        "overshoot": 1.5,
        "banding": 0.75,
        "seam": 1.0,
        "border_excess": 4.0,
        "color_cast": 3.0,
        "clipped_change": 1.0,
        "contrast_change": 3.0,
        "luminance_shift": 2.5,
    }
)
"""Bounds of the metrics that name a fault, for every precision; the reasons are in docs/gates.md.

They are where a fault becomes visible, not where an engine's rounding ends."""

OF_PHOTOGRAPHS = ("clipped_change", "contrast_change", "color_cast")
"""Metrics that say nothing on probes: whole areas lie at the border of clipping or have one colour,
and a gain of such areas is no gain of a picture."""

BETWEEN_PICTURES: Mapping[str, float] = MappingProxyType(
    {"frame_order": 0.0, "flicker": 1.0, "equal_frames": 2.5, "asymmetry": 2.5}
)
"""The same of metrics that need probes made for them."""

FLAT_SHIFT = 2.55 * 3
"""Steps of luma by which a flat area may be off whose bound in colour is a CIEDE2000 of 3."""

FLOAT_BOUNDS: Mapping[str, float] = MappingProxyType(
    {"border_excess": 0.25, "color_cast": 0.25, "contrast_change": 0.25, "luminance_shift": 0.25}
)
"""Bounds on what rounding does not move, for fp32: a quarter of a step, which nobody sees."""

HALF = 2.0
"""Times as much in fp16, whose rounding errors add up over a deep network: half a step."""

LOWERED: Mapping[str, float] = MappingProxyType({"contrast_change": 0.5, "luminance_shift": 0.5})
"""The same for INT8 against the quantised program, as means over the photographs: lowering adds
rounding noise and nothing systematic. Where a few numbers stand for the whole picture (a gate, a
global vector) noise does shift a picture, but not all of them the same way."""


def default_gates(precision: str, residual: bool, hdr: bool = False) -> tuple[Gate, ...]:
    """The bounds that an artefact of ``precision`` has to respect.

    First those that name a fault (:data:`ON_PHOTOGRAPHS`, :data:`BETWEEN_PICTURES`), alike for
    every precision, then those that measure any.

    fp32 differs from the reference by the order of its sums alone: 1e-4 of the range is a fortieth
    of an 8-bit step. fp16 keeps 11 bits: 60 dB is a quarter of an 8-bit step, root mean square.
    INT8 is judged by what is seen: 40 dB and SSIM 0.98 are the borders at which a careful viewer
    finds a difference, a CIEDE2000 of 3 the one at which a tint is noticed side by side, 1 on the
    mean. On probes a network that makes its picture from features alone gets :data:`FLAT_PSNR`
    instead of 40 dB: in a flat area every pixel is rounded alike, which is a tint and no noise, so
    colour is to decide (and :data:`FLAT_SHIFT` for its brightness).

    Lowering is judged by the manifest's noise floor, the distance of the quantised program from the
    float one, both in torch. An engine that adds in another order rounds a few values to the next
    step; layer by layer more values follow, until in a deep network its rounding noise is another
    draw of the same distribution. So an artefact may lie no further from the float reference than
    the floor (reference ``floor``, :data:`SAME_POWER` for the chance in the draw), and, since two
    independent draws differ by the power of both, at most :data:`TWO_DRAWS` further from the
    quantised program itself (reference ``quantized``). Brightness and contrast, which noise does
    not move, are on average as near to the quantised program's as :data:`LOWERED` says.

    A residual network's correction is judged by itself (``correction_snr``, over all photographs
    together), so that a correction of nearly zero cannot pass. It is no bound on single
    photographs: where nothing needs correcting, the ratio of a tiny correction to a tiny error says
    nothing of the picture, which the other bounds judge.

    Args:
        precision: ``fp32``, ``fp16`` or ``int8``.
        residual: True when the model has an exact identity path.
        hdr: True when its output is radiance; PSNR is then also taken in the PU21 encoding.
    """
    if precision == "int8":
        return (
            *_naming({}, {} if residual else {"luminance_shift": FLAT_SHIFT}),
            *_int8(residual, hdr),
        )
    metric, bound = ("max_abs", 1e-4) if precision == "fp32" else ("psnr", 60.0)
    exact = {
        name: bound * (HALF if precision == "fp16" else 1) for name, bound in FLOAT_BOUNDS.items()
    }
    probes = {name: bound for name, bound in exact.items() if name not in OF_PHOTOGRAPHS}
    return (*_naming(exact, probes), *_both({metric: bound}, {metric: bound}))


def _naming(photographs: Mapping[str, float], generated: Mapping[str, float]) -> tuple[Gate, ...]:
    probes = {k: v for k, v in ON_PHOTOGRAPHS.items() if k not in OF_PHOTOGRAPHS}
    return _both({**ON_PHOTOGRAPHS, **photographs}, {**probes, **generated, **BETWEEN_PICTURES})


def _int8(residual: bool, hdr: bool) -> tuple[Gate, ...]:
    seen = {"psnr": 40.0, "ssim": 0.98, "ms_ssim": 0.98, "delta_e_mean": 1.5, "delta_e_p99": 3.0}
    generated = {"psnr": 40.0 if residual else FLAT_PSNR, "ssim": 0.98, "delta_e_p99": 3.0}
    if hdr:
        seen["pu21_psnr"] = 35.0
    gates = _both(seen, generated)
    gates += tuple(
        Gate(metric, bound, at_least=False, statistic="total", reference="quantized")
        for metric, bound in LOWERED.items()
    )
    gates += (
        Gate("psnr", -SAME_POWER, at_least=True, reference="floor"),
        Gate("psnr", -TWO_DRAWS, at_least=True, reference="quantized"),
    )
    if residual:
        gates += (Gate("correction_snr", 20.0, at_least=True, statistic="total"),)
    return gates


def _both(photographs: Mapping[str, float], generated: Mapping[str, float]) -> tuple[Gate, ...]:
    return tuple(
        Gate(metric, bound, LARGER_IS_BETTER[metric], statistic)
        for statistic, bounds in (("worst", photographs), ("worst_probe", generated))
        for metric, bound in bounds.items()
    )


def parse_gate(text: str) -> Gate:
    """``psnr>=45`` as a gate on photographs, ``psnr@probes>=45`` as one on probes.

    ``correction_snr`` is over all photographs together; metrics of :data:`BETWEEN_PICTURES` and
    ``seam`` are on probes.

    Raises:
        UsageError: Another form, an unknown metric, or a bound on its wrong side.
    """
    match = _GATE.match(text)
    if not match:
        raise UsageError(f"gate is {text!r}; expected METRIC>=BOUND or METRIC<=BOUND")
    metric, at_least = match["metric"], match["sign"] == ">="
    if metric not in LARGER_IS_BETTER:
        near = difflib.get_close_matches(metric, LARGER_IS_BETTER, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"unknown metric {metric!r}; {hint}expected one of {', '.join(LARGER_IS_BETTER)}"
        )
    if at_least != LARGER_IS_BETTER[metric]:
        sign = ">=" if LARGER_IS_BETTER[metric] else "<="
        raise UsageError(f"gate is {text!r}; {metric} takes {sign}")
    statistic = "total" if metric == "correction_snr" else "worst"
    if match["probes"] or metric in RELATIONS:
        statistic = "worst_probe"
    return Gate(metric, float(match["bound"]), at_least, statistic)


Gates = str | Gate | Iterable[str | Gate]
"""Gates as a user gives them: one or several, each a text as for :func:`parse_gate` or a gate."""


def gates_of(given: Gates) -> tuple[Gate, ...]:
    """Turn the gates that a user gives into gates.

    Raises:
        UsageError: A text is no gate.
    """
    several = (given,) if isinstance(given, (str, Gate)) else given
    return tuple(parse_gate(gate) if isinstance(gate, str) else gate for gate in several)


def overridden(gates: Iterable[Gate], overrides: Sequence[Gate]) -> tuple[Gate, ...]:
    """``gates`` with those replaced that ``overrides`` has other bounds for."""

    def subject(gate: Gate) -> tuple[str, str, str]:
        return gate.metric, gate.statistic, gate.reference

    replaced = {subject(gate) for gate in overrides}
    return (*(gate for gate in gates if subject(gate) not in replaced), *overrides)


def gate_holds(gate: Gate, value: float) -> bool:
    """Whether a value respects the bound; of signed metrics its magnitude."""
    return gate.holds(abs(value) if ALL[gate.metric].signed else value)
