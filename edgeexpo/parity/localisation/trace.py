"""Intermediate values of an artefact, in the form that localisation compares with a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from edgeexpo.remote.host import RemoteHost
from edgeexpo.runtime.engines.base import Arrays

GRID_TOLERANCE = 2e-3
"""Accepted difference of stored ranges, as a share of the range."""


@dataclass(frozen=True)
class Grid:
    """The quantisation grid of a value: ``real = scale * (code - zero_point)``.

    Attributes:
        scale: Distance of two codes in real numbers.
        zero_point: The code of zero.
        low, high: Smallest and largest code.
    """

    scale: float
    zero_point: int
    low: int
    high: int

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest real number that the codes can express."""
        return self.scale * (self.low - self.zero_point), self.scale * (self.high - self.zero_point)

    def is_like(self, other: Grid) -> bool:
        """Return true when both grids express the same numbers, up to fp16 rounding of a scale."""
        span = other.scale * (other.high - other.low)
        ends = zip(self.limits, other.limits, strict=True)
        return all(abs(ours - theirs) <= GRID_TOLERANCE * span for ours, theirs in ends)


@dataclass(frozen=True)
class Traced:
    """One intermediate value of an artefact.

    Attributes:
        name: The artefact's name of the value (ONNX, Core ML), or the delegate's number for it.
        operator: The operator that computed the value, in the artefact's words.
        kinds: The same in common words (:data:`OPERATOR_KINDS`), in order. A fused INT8 convolution
            of XNNPACK is ``conv``, ``relu``, ``dequantize``.
        inputs: Names of the traced values from which it was computed.
        value: Real numbers, float32, dequantised; NCHW if there are four axes.
        grid: Quantisation grid of a quantised value; ``None`` in float.
        half: Whether the value is in fp16.
    """

    name: str
    operator: str
    kinds: tuple[str, ...]
    inputs: tuple[str, ...]
    value: np.ndarray = field(repr=False)
    grid: Grid | None = None
    half: bool = False


class Tracer(Protocol):
    """Runs a saved artefact and keeps what lies between its input and its output.

    A target's record names a class that is made from the model's spec and the artefact's sizes.
    """

    engine: str
    caveat: str
    """Faults that this method cannot see, in one clause; it is valid after a run."""

    def __call__(self, path: Path, inputs: Arrays) -> list[Traced]:
        """Return the values in the order of computation, the output last.

        Args:
            path: The artefact.
            inputs: NCHW float32 by name.

        Raises:
            EngineError: The artefact cannot be traced.
        """


@runtime_checkable
class MovableTracer(Protocol):
    """A tracer that can run its artefacts on another machine."""

    def run_on(self, host: RemoteHost) -> None:
        """Run on this machine from now on."""


OPERATOR_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("conv", "conv2d", "convolution", "depthwiseconv2d"), "conv"),
    **dict.fromkeys(
        ("convtranspose", "convtranspose2d", "conv_transpose", "conv_transpose2d"), "conv_transpose"
    ),
    **dict.fromkeys(("linear", "matmul", "gemm", "addmm", "mm", "fullyconnected"), "linear"),
    **dict.fromkeys(("relu", "relu_", "clip", "clamp", "clamp_", "minimum", "maximum"), "relu"),
    **dict.fromkeys(("dequantizelinear", "dequantize", "dequantize_per_tensor"), "dequantize"),
    **dict.fromkeys(("mul", "multiply"), "mul"),
    **dict.fromkeys(("div", "real_div"), "div"),
    **dict.fromkeys(
        ("cat", "concat", "concatenate2", "concatenate3", "concatenate4", "concatenate5"), "cat"
    ),
    **dict.fromkeys(("sub", "subtract"), "sub"),
}
"""Common words of operators, by lower-case name without a vendor's prefix.

Other operators keep their names.
"""


def kind(operator: str) -> str:
    """Return the common word for an operator of ONNX, MIL, XNNPACK or aten."""
    word = operator.lower().removeprefix("xnn").removeprefix("aten.").partition(".")[0]
    return OPERATOR_KINDS.get(word, word)


COPY = "copy"
"""Kind of operators that change only a value's layout or type."""

WEIGHTED_KINDS = frozenset(("conv", "conv_transpose", "linear"))
"""Kinds of operators with weights."""


def ancestors(
    name: str, producers: Mapping[str, tuple[Sequence[str], str]], known: Mapping[str, str]
) -> tuple[frozenset[str], int]:
    """Return the nearest known values above ``name``, and the number of weighted operators between.

    Args:
        name: A value.
        producers: Inputs and kind of the operator that made each value, by the value's name.
        known: Identities of the values that have been aligned, by name.
    """
    found: set[str] = set()
    seen: set[str] = set()
    weighted = 0
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in seen or current not in producers:
            continue
        seen.add(current)
        sources, word = producers[current]
        weighted += word in WEIGHTED_KINDS
        for source in sources:
            if source in known:
                found.add(known[source])
            else:
                waiting.append(source)
    return frozenset(found), weighted


def rms(value: np.ndarray) -> float:
    """Return the root mean square, in double precision.

    It is 0 for an empty array, and not finite if a value is not finite.
    """
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))) if value.size else 0.0
