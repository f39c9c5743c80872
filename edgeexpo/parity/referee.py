"""Decide which of two references is right, by the float program in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.parity.reference import ProgramReference

AGREEMENT = 1e-4
"""Largest absolute difference, in [0,1], of two references that agree.

It is a fortieth of an 8-bit step, because devices differ only in the order of additions.
"""


@dataclass(frozen=True)
class Ruling:
    """The distances of two references from each other and from the program in float64.

    Attributes:
        difference: Largest absolute difference between the two, over all pictures.
        first: Largest absolute error of the first reference, against float64.
        second: Largest absolute error of the second reference, against float64.
    """

    difference: float
    first: float
    second: float

    @property
    def agree(self) -> bool:
        """True when the two references differ by :data:`AGREEMENT` at most; NaN never agrees."""
        return self.difference <= AGREEMENT

    @property
    def nearer(self) -> str:
        """The nearer reference: ``first``, ``second`` or, for equal errors, ``neither``.

        A NaN counts as an infinite error.
        """
        errors = [e if e == e else float("inf") for e in (self.first, self.second)]
        if errors[0] == errors[1]:
            return "neither"
        return "first" if errors[0] < errors[1] else "second"


def referee(
    bundle: Bundle,
    inputs: Mapping[str, Mapping[str, np.ndarray]],
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
) -> Ruling:
    """Run the float program in float64 and measure two references against it.

    Args:
        bundle: The bundle whose ``reference.pt2`` is run.
        inputs: Network inputs, HxWxC float32, by sample and input name.
        first: Outputs of the first reference, HxWxC float32, by sample name.
        second: Outputs of the second reference, HxWxC float32, by sample name.
    """
    exact = ProgramReference(bundle, "reference.pt2", "cpu", torch.float64)
    truth = {name: exact(sample) for name, sample in inputs.items()}
    return Ruling(*(_largest(a, b) for a, b in ((first, second), (first, truth), (second, truth))))


def _largest(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> float:
    # NumPy's max, unlike Python's, returns NaN when any value is NaN.
    return float(np.max([np.abs(first[name] - second[name]).max() for name in second]))
