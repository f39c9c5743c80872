"""Calibration variants: choices of ranges, and of steps that adapt the weights to rounding.

The name of a variant joins its parts by ``+``, as in ``minmax+adaround+bias``. Parts that the name
leaves out are as in ``plain``. The variant ``plain`` equalises channels and chooses ranges by least
squared error.
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
"""Parts of a name: the default variant, and wider ranges (:mod:`.headroom`)."""

STRENGTHS: Mapping[str, float | None] = {"balanced": BALANCED, "unequalized": None}
"""Strengths of equalisation by the part of a name. ``None`` equalises no channels."""

ADAROUND, BIAS = "adaround", "bias"
"""Parts of a name: adaptive rounding, and bias correction."""

NNCF = "nncf"
"""Part of a name: NNCF's own calibration, which goes with no other part."""

PARTS = (PLAIN, *STRENGTHS, *OBSERVERS, HEADROOM, ADAROUND, BIAS, NNCF)
"""All parts of names."""


@dataclass(frozen=True)
class Variant:
    """A way to calibrate a program.

    Attributes:
        strength: Migration strength of the equalisation
            (:mod:`edgeexpo.quantization.equalization`), or ``None`` for no equalisation.
        observer: Name of the observer that chooses ranges, in
            :data:`edgeexpo.quantization.observers.OBSERVERS`.
        headroom: True widens ranges to what fine detail reaches, at most to twice their width.
        adaround: True rounds weights adaptively (:mod:`edgeexpo.quantization.rounding`).
        bias: True corrects biases (:mod:`edgeexpo.quantization.bias_correction`).
        nncf: True lets NNCF choose ranges and correct biases, by its fast bias correction.
    """

    strength: float | None = STRENGTH
    observer: str = DEFAULT
    headroom: bool = False
    adaround: bool = False
    bias: bool = False
    nncf: bool = False

    @property
    def name(self) -> str:
        """Name of the variant: its parts, joined by ``+``."""
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
        """The variant with the same ranges that adapts no weights or biases."""
        return Variant(self.strength, self.observer, self.headroom)


def parse_variant(name: str) -> Variant:
    """Return the variant with the given name.

    Raises:
        UsageError: The name has an unknown part, or parts that exclude each other.
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
"""Variants that differ only in their ranges, ``plain`` first."""


def adapted(ranges: Variant) -> tuple[Variant, ...]:
    """Return the variants that adapt weights or biases with the same ranges as ``ranges``."""
    return (
        replace(ranges, bias=True),
        replace(ranges, adaround=True),
        replace(ranges, adaround=True, bias=True),
    )


class Calibration:
    """A maker of simulated programs that calibrates once for every choice of ranges.

    Args:
        program: The float program.
        pictures: Pictures: input name -> HxWxC float32.
        seed: Seed of adaptive rounding's crops.

    Raises:
        UsageError: There is no picture, or a picture is not finite.
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
        """Return the simulated program of a variant. The caller may change it.

        Raises:
            UsageError: A layer's result for a calibration picture is not finite.
            ExportError: NNCF cannot calibrate this network.
            MissingDependencyError: The variant needs NNCF, which is not installed.
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
