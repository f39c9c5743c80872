"""Ways to calibrate one program: which ranges, and what adapts the weights to the rounding.

A variant's name is its parts joined by ``+``: ``minmax+adaround+bias``. What it leaves out is as in
``plain``, which equalises channels and takes ranges by least squared error.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch.fx import GraphModule

from edgeexpo.errors import UsageError
from edgeexpo.program.capture import Program
from edgeexpo.quantization.bias_correction import correct_bias
from edgeexpo.quantization.equalization import BALANCED, STRENGTH
from edgeexpo.quantization.headroom import widen
from edgeexpo.quantization.layerwise import adapt
from edgeexpo.quantization.nncf_calibration import calibrated_by_nncf
from edgeexpo.quantization.observers import DEFAULT, OBSERVERS
from edgeexpo.quantization.ptq import calibrated, tensors
from edgeexpo.quantization.rounding import AdaptiveRounding
from edgeexpo.quantization.simulation import simulate

PLAIN, HEADROOM = "plain", "headroom"
STRENGTHS: Mapping[str, float | None] = {"balanced": BALANCED, "unequalized": None}
"""Parts of a name that stand for another strength of equalisation than the default's."""

ADAROUND, BIAS = "adaround", "bias"
NNCF = "nncf"
PARTS = (PLAIN, *STRENGTHS, *OBSERVERS, HEADROOM, ADAROUND, BIAS, NNCF)


@dataclass(frozen=True)
class Variant:
    """One way to calibrate.

    Attributes:
        strength: Of the equalisation of channels across layers
            (:mod:`edgeexpo.quantization.equalization`); ``None`` without.
        observer: Where ranges come from, in :data:`edgeexpo.quantization.observers.OBSERVERS`.
        headroom: Ranges are widened to what fine detail reaches, at most doubled.
        adaround: Weights are rounded as their layer's output wants it.
        bias: Biases take back the shift of each channel's mean.
        nncf: NNCF chooses ranges and corrects biases, by its own fast bias correction.
    """

    strength: float | None = STRENGTH
    observer: str = DEFAULT
    headroom: bool = False
    adaround: bool = False
    bias: bool = False
    nncf: bool = False

    @property
    def name(self) -> str:
        """Its parts, joined by ``+``."""
        parts = [
            *(name for name, strength in STRENGTHS.items() if strength == self.strength),
            *([] if self.observer == DEFAULT else [self.observer]),
            *([HEADROOM] if self.headroom else []),
            *([ADAROUND] if self.adaround else []),
            *([BIAS] if self.bias else []),
            *([NNCF] if self.nncf else []),
        ]
        return "+".join(parts) or PLAIN

    @property
    def ranges(self) -> Variant:
        """The variant with the same ranges and nothing adapted."""
        return Variant(self.strength, self.observer, self.headroom)


def parse_variant(name: str) -> Variant:
    """The variant of a name.

    Raises:
        UsageError: An unknown part, or parts that exclude each other.
    """
    parts = name.split("+")
    for part in parts:
        if part not in PARTS:
            raise UsageError(
                f"unknown part {part!r} of the calibration variant {name!r}; expected one of "
                f"{', '.join(PARTS)}, or several joined by +"
            )
    observers = [part for part in parts if part in OBSERVERS]
    strengths = [part for part in parts if part in STRENGTHS]
    for what, chosen in (("observers", observers), ("equalisations", strengths)):
        if len(set(chosen)) > 1:
            raise UsageError(f"calibration variant {name!r} has two {what}; expected one")
    if NNCF in parts and set(parts) - {NNCF, PLAIN}:
        raise UsageError(f"calibration variant {name!r}: NNCF has ranges and biases of its own")
    return Variant(
        strength=STRENGTHS[strengths[0]] if strengths else STRENGTH,
        observer=observers[0] if observers else DEFAULT,
        headroom=HEADROOM in parts,
        adaround=ADAROUND in parts,
        bias=BIAS in parts,
        nncf=NNCF in parts,
    )


RANGES = (
    Variant(),
    *(Variant(strength) for strength in STRENGTHS.values()),
    *(Variant(observer=name) for name in OBSERVERS if name != DEFAULT),
)
"""Variants that differ in their ranges alone, plain first."""


def adapted(ranges: Variant) -> tuple[Variant, ...]:
    """Variants that adapt weights or biases under the ranges of ``ranges``."""
    return (
        replace(ranges, bias=True),
        replace(ranges, adaround=True),
        replace(ranges, adaround=True, bias=True),
    )


class Calibration:
    """Makes simulated programs, calibrating once for every choice of ranges.

    Args:
        program: The float program.
        pictures: Network inputs by name, each HxWxC float32.
        seed: Of what variants do by chance.

    Raises:
        UsageError: There is no picture, or one is not finite.
    """

    def __init__(
        self, program: Program, pictures: Iterable[Mapping[str, np.ndarray]], seed: int = 0
    ) -> None:
        self._program = program
        self._pictures = list(pictures)
        self._inputs = tensors(program, self._pictures)
        self._seed = seed
        self._kept: dict[Variant, GraphModule] = {}

    def make(self, variant: Variant) -> GraphModule:
        """The simulated program of a variant; the caller may change it.

        Raises:
            UsageError: A calibration picture makes something that is not finite.
            ExportError: NNCF cannot calibrate this network.
        """
        if variant.nncf:
            return calibrated_by_nncf(self._program, self._inputs)
        graph = copy.deepcopy(self._ranges(variant.ranges))
        steps = [AdaptiveRounding(self._seed)] if variant.adaround else []
        adapt(graph, self._inputs, [*steps, *([correct_bias] if variant.bias else [])])
        return graph

    def _ranges(self, variant: Variant) -> GraphModule:
        if variant not in self._kept:
            _, graph = calibrated(
                self._program,
                self._pictures,
                observer=variant.observer,
                strength=variant.strength,
            )
            simulate(graph)
            if variant.headroom:
                widen(graph, self._inputs)
            self._kept[variant] = graph
        return self._kept[variant]
