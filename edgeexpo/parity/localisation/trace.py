"""Intermediate values of an artefact, in the form that localisation compares with a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeexpo.runtime.engines.base import Arrays

GRID_TOLERANCE = 2e-3
"""Difference of stored ranges that is no fault, as a share of the range."""


@dataclass(frozen=True)
class Grid:
    """How a quantised value is stored: ``real = scale * (code - zero_point)``."""

    scale: float
    zero_point: int
    low: int
    high: int

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest real number that the codes can express."""
        return self.scale * (self.low - self.zero_point), self.scale * (self.high - self.zero_point)

    def is_like(self, other: Grid) -> bool:
        """Whether both express the same numbers, but for the rounding of a scale to fp16."""
        span = other.scale * (other.high - other.low)
        ends = zip(self.limits, other.limits, strict=True)
        return all(abs(ours - theirs) <= GRID_TOLERANCE * span for ours, theirs in ends)


@dataclass(frozen=True)
class Traced:
    """One intermediate value of an artefact.

    Attributes:
        name: As the artefact calls it (ONNX, Core ML), or the delegate's number for it.
        operator: What computed it, in the artefact's words.
        kinds: What it does in common words (:data:`OPERATOR_KINDS`), in order: a fused INT8
            convolution of XNNPACK is ``conv``, ``relu``, ``dequantize``.
        inputs: Names of the traced values that it was computed from.
        value: Real numbers, float32, dequantised; NCHW where it has four axes.
        grid: How it is stored, for quantised values.
        half: Whether it is an fp16 number.
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
    """What this way of looking cannot see, in one clause; read it after a run."""

    def __call__(self, path: Path, inputs: Arrays) -> list[Traced]:
        """Values in the order of computation, the output last; NCHW float32 inputs by name."""


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
"""Operator, in lower case and without a vendor's prefix -> common word; others keep their name."""


def kind(operator: str) -> str:
    """The common word for an operator of ONNX, MIL, XNNPACK or aten."""
    word = operator.lower().removeprefix("xnn").removeprefix("aten.").partition(".")[0]
    return OPERATOR_KINDS.get(word, word)


COPY = "copy"
"""The kind of what changes a value's layout or type only."""

WEIGHTED_KINDS = frozenset(("conv", "conv_transpose", "linear"))


def ancestors(
    name: str, producers: Mapping[str, tuple[Sequence[str], str]], known: Mapping[str, str]
) -> tuple[frozenset[str], int]:
    """Nearest known values above ``name``, and how many weighted operators lie between.

    Args:
        name: A value.
        producers: Value -> (what it was computed from, the kind of its operator).
        known: Value -> its identity, for values that have been aligned.
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
    """Root mean square, in double precision; 0 of nothing, not finite where a value is not."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))) if value.size else 0.0
