"""Default bounds, and bounds from the command line."""

from __future__ import annotations

import difflib
import math
import re

from edgeexpo.errors import UsageError
from edgeexpo.parity.metrics import LARGER_IS_BETTER
from edgeexpo.spec import Gate

_GATE = re.compile(r"^\s*(?P<metric>\w+)\s*(?P<sign>>=|<=)\s*(?P<bound>-?[\d.]+(?:e-?\d+)?)\s*$")

FLAT_PSNR = 32.0
"""PSNR in dB of a mid-grey area that is off by nearly a CIEDE2000 of 3 in lightness (2.5 %)."""

SAME_POWER = 1.0
"""Decibels by which an artefact's rounding noise may exceed that of the quantised program."""

TWO_DRAWS = 10 * math.log10(1 + 10 ** (SAME_POWER / 10))
"""Decibels between one draw of rounding noise and its difference to another, independent one that
is :data:`SAME_POWER` stronger: the powers add."""


def default_gates(precision: str, residual: bool) -> tuple[Gate, ...]:
    """The bounds that an artefact of ``precision`` has to respect.

    fp32 differs from the reference by the order of its sums alone: 1e-4 of the range is a fortieth
    of an 8-bit step. fp16 keeps 11 bits: 60 dB is a quarter of an 8-bit step, root mean square.
    INT8 is judged by what is seen: 40 dB and SSIM 0.98 are the borders at which a careful viewer
    finds a difference, a CIEDE2000 of 3 the one at which a tint is noticed side by side. On probes
    a network that makes its picture from features alone gets :data:`FLAT_PSNR` instead of 40 dB: in
    a flat area every pixel is rounded alike, which is a tint and no noise, so colour is to decide.

    Lowering is judged by the manifest's noise floor, the distance of the quantised program from the
    float one, both in torch. An engine that adds in another order rounds a few values to the next
    step; layer by layer more values follow, until in a deep network its rounding noise is another
    draw of the same distribution. So an artefact may lie no further from the float reference than
    the floor (reference ``floor``, :data:`SAME_POWER` for the chance in the draw), and, since two
    independent draws differ by the power of both, at most :data:`TWO_DRAWS` further from the
    quantised program itself (reference ``quantized``).

    A residual network's correction is judged by itself (``correction_snr``, over all photographs
    together), so that a correction of nearly zero cannot pass. It is no bound on single
    photographs: where nothing needs correcting, the ratio of a tiny correction to a tiny error says
    nothing of the picture, which the other bounds judge.

    Args:
        precision: ``fp32``, ``fp16`` or ``int8``.
        residual: True when the model has an exact identity path.
    """
    if precision == "fp32":
        return (
            Gate("max_abs", 1e-4, at_least=False),
            Gate("max_abs", 1e-4, at_least=False, statistic="worst_probe"),
        )
    if precision == "fp16":
        return (
            Gate("psnr", 60.0, at_least=True),
            Gate("psnr", 60.0, at_least=True, statistic="worst_probe"),
        )
    gates = tuple(
        Gate(metric, bound, at_least, statistic)
        for statistic, least in (("worst", 40.0), ("worst_probe", 40.0 if residual else FLAT_PSNR))
        for metric, bound, at_least in (
            ("psnr", least, True),
            ("ssim", 0.98, True),
            ("delta_e_p99", 3.0, False),
        )
    )
    gates += (
        Gate("psnr", -SAME_POWER, at_least=True, reference="floor"),
        Gate("psnr", -TWO_DRAWS, at_least=True, reference="quantized"),
    )
    if residual:
        gates += (Gate("correction_snr", 20.0, at_least=True, statistic="total"),)
    return gates


def parse_gate(text: str) -> Gate:
    """``psnr>=45`` as a gate on photographs.

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
    return Gate(metric, float(match["bound"]), at_least)
