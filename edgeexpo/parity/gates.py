"""Default gates, and gates from the command line."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from edgeexpo.errors import UsageError
from edgeexpo.parity.metrics.pictures import ALL, LARGER_IS_BETTER, RELATIONS
from edgeexpo.spec import Gate, ModelSpec

_GATE = re.compile(
    r"^\s*(?P<metric>\w+)(?P<probes>@probes)?\s*(?P<sign>>=|<=)\s*(?P<bound>-?[\d.]+(?:e-?\d+)?)\s*$"
)

FLAT_PSNR = 32.0
"""PSNR in dB of a mid-grey area whose lightness is off by nearly a CIEDE2000 of 3 (2.5 %)."""

SAME_POWER = 1.0
"""Decibels by which an artefact's rounding noise may exceed that of the quantised program."""

TWO_DRAWS = 10 * math.log10(1 + 10 ** (SAME_POWER / 10))
"""Decibels from one draw of rounding noise to the difference of two independent draws.

The second draw is :data:`SAME_POWER` stronger, and the powers add.
"""


HALF_PSNR = 60.0
"""PSNR in dB that an artefact in fp16 has at least: an RMS of a quarter of an 8-bit step."""

MOST_OFF = 0.1
"""Percent of the values that may be more than one code off where only rounding differs."""

TWO_CODES = 2.5 / 255
"""Difference of values between two codes and three."""

HALF_CODES_PSNR = 54.0
"""PSNR in dB of codes whose values have errors of :data:`HALF_PSNR`.

Such an error is a quarter of a step on average, so that about a quarter of the values are rounded
to the next code.
"""

LESS_NOISE = 3.0
"""Decibels by which A16W8 is nearer to float than INT8 has to be: half of the noise's power."""

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
"""Bounds of the metrics that name a fault, for every precision.

``docs/reference/gates.md`` gives the reasons.

A bound is the value at which a fault becomes visible, not the value at which an engine's rounding
ends.
"""

OF_PHOTOGRAPHS = ("clipped_change", "contrast_change", "color_cast")
"""Metrics that have no meaning on probes.

Whole areas of a probe are almost clipped or have one colour, and the gain of such areas is not the
gain of a picture.
"""

BETWEEN_PICTURES: Mapping[str, float] = MappingProxyType(
    {"frame_order": 0.0, "flicker": 1.0, "equal_frames": 2.5, "asymmetry": 2.5}
)
"""Bounds of the metrics that need probes made for them, for every precision."""

FLAT_SHIFT = 2.55 * 3
"""Steps of luma by which a flat area may be off when its colour may be off by a CIEDE2000 of 3."""

FLOAT_BOUNDS: Mapping[str, float] = MappingProxyType(
    {"border_excess": 0.25, "color_cast": 0.25, "contrast_change": 0.25, "luminance_shift": 0.25}
)
"""Bounds for fp32 on metrics that rounding does not move: an invisible quarter of a step."""

HALF = 2.0
"""Factor of the bounds for fp16, whose rounding errors add up over a deep network: half a step."""

LOWERED: Mapping[str, float] = MappingProxyType({"contrast_change": 0.5, "luminance_shift": 0.5})
"""Bounds for INT8 against the quantised program, on means over the photographs.

Lowering adds rounding noise and nothing systematic. In some networks a few numbers (a gate, a
global vector) stand for the whole picture. Noise then shifts a picture, but not all pictures in the
same direction.
"""


def default_gates(precision: str, residual: bool, hdr: bool = False) -> tuple[Gate, ...]:
    """Return the gates that an artefact of ``precision`` has to pass.

    The first gates name a fault (:data:`ON_PHOTOGRAPHS`, :data:`BETWEEN_PICTURES`); they are equal
    for every precision. The other gates measure any difference.

    fp32 differs from the reference only by the order of its sums: 1e-4 of the range is a fortieth
    of an 8-bit step. Where a network is ill-conditioned, such as behind a division by a small
    deviation, the bound is what rounding explains in that picture (reference ``rounding``,
    :meth:`edgeexpo.parity.rounding.Rounding.largest_error`). fp16 has a precision of 11 bits:
    :data:`HALF_PSNR` is a root mean square of a quarter of an 8-bit step.

    INT8 is judged by visibility. At 40 dB and SSIM 0.98 a careful viewer finds a difference. A tint
    is noticed side by side at a CIEDE2000 of 3, and at 1 on the mean.

    A network without a residual path gets :data:`FLAT_PSNR` instead of 40 dB on probes, and
    :data:`FLAT_SHIFT` for brightness. In a flat area every pixel is rounded alike. The result is a
    tint and not noise, so the colour gates decide.

    Lowering is judged by the manifest's noise floor: the distance of the quantised program from the
    float program, both in torch. An engine that adds in another order rounds a few values to the
    next step. Layer by layer more values follow. In a deep network its rounding noise becomes
    another draw of the same distribution.

    Two gates follow from this. An artefact's distance to the float reference may exceed the floor
    by :data:`SAME_POWER`, for the chance in the draw (reference ``floor``). Its distance to the
    quantised program may exceed the floor by :data:`TWO_DRAWS`, because the powers of two
    independent draws add (reference ``quantized``). The floor itself is one draw, and another
    processor's may be worse. So an artefact beyond these bounds is compared with draws of the
    quantised program's rounding (:mod:`edgeexpo.parity.rounding`). Noise does not move brightness
    and contrast; their mean distances to the quantised program have the bounds :data:`LOWERED`.

    A residual network's correction has its own gate (``correction_snr``, over all photographs
    together), so that a correction of nearly zero cannot pass. Single photographs have no such
    gate. Where nothing needs correcting, the ratio of a tiny correction to a tiny error has no
    meaning, and the other gates judge the picture.

    A16W8 has the weights of INT8 and nearly no rounding of activations. So what it loses against
    float is half of INT8's noise at most (:data:`LESS_NOISE`). What lowering adds to its weights
    must be as invisible as the rounding of fp16: :data:`HALF_PSNR` against the INT8 program with
    float activations (reference ``weights``). The gates that name a fault are those of INT8.

    BF16 is no precision of files. An engine computes fp32 files in it, with 8 bits for each number.
    Like INT8 it is judged by visibility, but there is no quantised program to compare it with.

    Args:
        precision: ``fp32``, ``fp16``, ``bf16``, ``a16w8`` or ``int8``.
        residual: True when the model has an exact identity path.
        hdr: True when the output is radiance; PSNR is then also taken in the PU21 encoding.
    """
    if precision in ("int8", "a16w8", "bf16"):
        return (
            *_naming({}, {} if residual else {"luminance_shift": FLAT_SHIFT}),
            *_visible(residual, hdr, LESS_NOISE if precision == "a16w8" else 0.0),
            *_AGAINST_PROGRAM.get(precision, ()),
            *(_CORRECTION if residual else ()),
        )
    metric, bound = ("max_abs", 1e-4) if precision == "fp32" else ("psnr", HALF_PSNR)
    exact = {
        name: bound * (HALF if precision == "fp16" else 1) for name, bound in FLOAT_BOUNDS.items()
    }
    probes = {name: bound for name, bound in exact.items() if name not in OF_PHOTOGRAPHS}
    reference = "rounding" if precision == "fp32" else "float"
    difference = (
        dataclasses.replace(gate, reference=reference)
        for gate in _both({metric: bound}, {metric: bound})
    )
    return (*_naming(exact, probes), *difference)


def code_gates(precision: str) -> tuple[Gate, ...]:
    """Return the gates for artefacts in float that hold the stages and give codes of 8 bits.

    Two correct graphs round a value near a half to different codes. In fp32 that is all that may
    happen: at most :data:`MOST_OFF` percent of the values are more than one code off, and none is
    more than two. In fp16 an error of :data:`HALF_PSNR` moves a share of the values to the next
    code, which is :data:`HALF_CODES_PSNR`.

    Args:
        precision: ``fp32`` or ``fp16``.
    """
    exact = {name: bound * HALF for name, bound in FLOAT_BOUNDS.items()}
    probes = {name: bound for name, bound in exact.items() if name not in OF_PHOTOGRAPHS}
    rounded = (
        {"codes_off": MOST_OFF, "max_abs": TWO_CODES}
        if precision == "fp32"
        else {"psnr": HALF_CODES_PSNR}
    )
    return (*_naming(exact, probes), *_both(rounded, rounded))


def gates_of_model(precision: str, spec: ModelSpec) -> tuple[Gate, ...]:
    """Return the default gates of a precision for the kind of network that ``spec`` describes."""
    if spec.takes_frames and precision in ("fp32", "fp16"):
        return code_gates(precision)
    return default_gates(precision, spec.residual is not None, spec.kind == "hdr")


def _naming(photographs: Mapping[str, float], generated: Mapping[str, float]) -> tuple[Gate, ...]:
    probes = {k: v for k, v in ON_PHOTOGRAPHS.items() if k not in OF_PHOTOGRAPHS}
    return _both({**ON_PHOTOGRAPHS, **photographs}, {**probes, **generated, **BETWEEN_PICTURES})


def _visible(residual: bool, hdr: bool, more: float) -> tuple[Gate, ...]:
    """Return the gates on what a viewer sees, with ``more`` dB than INT8 needs."""
    seen = {
        "psnr": 40.0 + more,
        "ssim": 0.98,
        "ms_ssim": 0.98,
        "delta_e_mean": 1.5,
        "delta_e_p99": 3.0,
    }
    generated = {"psnr": (40.0 if residual else FLAT_PSNR) + more, "ssim": 0.98, "delta_e_p99": 3.0}
    if hdr:
        seen["pu21_psnr"] = 35.0 + more
    return _both(seen, generated)


_LOWERING = (
    *(
        Gate(metric, bound, at_least=False, statistic="total", reference="quantized")
        for metric, bound in LOWERED.items()
    ),
    Gate("psnr", -SAME_POWER, at_least=True, reference="floor"),
    Gate("psnr", -TWO_DRAWS, at_least=True, reference="quantized"),
)
_AGAINST_PROGRAM: Mapping[str, tuple[Gate, ...]] = MappingProxyType(
    {
        "int8": _LOWERING,
        "a16w8": (
            *(dataclasses.replace(gate, reference="weights") for gate in _LOWERING[: len(LOWERED)]),
            Gate("psnr", HALF_PSNR, at_least=True, reference="weights"),
        ),
    }
)
_CORRECTION = (Gate("correction_snr", 20.0, at_least=True, statistic="total"),)


def _both(photographs: Mapping[str, float], generated: Mapping[str, float]) -> tuple[Gate, ...]:
    return tuple(
        Gate(metric, bound, LARGER_IS_BETTER[metric], statistic)
        for statistic, bounds in (("worst", photographs), ("worst_probe", generated))
        for metric, bound in bounds.items()
    )


def parse_gate(text: str) -> Gate:
    """Parse a gate: ``psnr>=45`` on photographs, ``psnr@probes>=45`` on probes.

    ``correction_snr`` is taken over all photographs together. Metrics of :data:`BETWEEN_PICTURES`
    and ``seam`` are always on probes.

    Raises:
        UsageError: The text has another form, the metric is unknown, or the sign is wrong for it.
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
    """Return ``gates``, with those replaced for which ``overrides`` has other bounds."""

    def subject(gate: Gate) -> tuple[str, str, str]:
        reference = "float" if gate.reference == "rounding" else gate.reference
        return gate.metric, gate.statistic, reference

    replaced = {subject(gate) for gate in overrides}
    return (*(gate for gate in gates if subject(gate) not in replaced), *overrides)


def gate_holds(gate: Gate, value: float) -> bool:
    """Return true when a value respects the gate's bound; signs of signed metrics are ignored."""
    return gate.holds(abs(value) if ALL[gate.metric].signed else value)
