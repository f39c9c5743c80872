"""What correct executions of one program differ by, because they round otherwise.

An engine may add in another order, or compute a code of INT8 from the other side of a half. Layer
by layer more values follow. The gates must not take that for damage, whatever the processor.

Both estimates run a bundle's program in torch with other roundings (Monte Carlo arithmetic, Parker,
"Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic", 1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeexpo.parity.cases import PHOTOGRAPH, Case, noise_floor
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.runtime.network_pictures import displayed

if TYPE_CHECKING:
    from edgeexpo.bundle.bundle import Bundle
    from edgeexpo.parity.reference import ProgramReference

DRAWS = 2
"""Number of draws of the rounding of a quantised program."""

MARGIN = 4.0
"""Factor by which the error of a layer or picture may exceed the error that rounding explains."""


@dataclass(frozen=True)
class Draws:
    """What draws of a quantised program's rounding show, over the photographs.

    Attributes:
        to_float: Worst PSNR in dB of a draw against the float program.
        apart: Worst PSNR in dB of a draw against the quantised program as torch rounds it.
    """

    to_float: float
    apart: float


class Rounding:
    """What rounding explains in the artefacts of a bundle; measured when it is first asked for.

    Args:
        cases: The pictures with their references.
        bundle: The bundle whose programs are run. Without it, or without torch's programs, only the
            noise floor is known.
    """

    def __init__(self, cases: Sequence[Case] = (), bundle: Bundle | None = None) -> None:
        self._cases = {case.name: case for case in cases}
        self._bundle = bundle
        self.floor = noise_floor(cases)

    @cached_property
    def draws(self) -> Draws | None:
        """The draws of the quantised program, or ``None`` if it was not run on the cases.

        In a draw every value is moved by up to half a code, at random, before it is rounded to a
        code.
        """
        photographs = [
            (case, case.quantized)
            for case in self._cases.values()
            if case.kind == PHOTOGRAPH and case.quantized is not None
        ]
        if self._bundle is None or not photographs:
            return None
        from edgeexpo.parity.redrawn import redrawn_codes
        from edgeexpo.parity.reference import ProgramReference  # brings torch

        to_float, apart = [], []
        for seed in range(DRAWS):
            run = ProgramReference(
                self._bundle, "quantized.pt2", "cpu", execution=redrawn_codes(seed)
            )
            for case, nearest in photographs:
                drawn = self._shown(run, case)
                to_float.append(psnr(case.reference, drawn))
                apart.append(psnr(nearest, drawn))
        return Draws(min(to_float), min(apart))

    def largest_error(self, name: str) -> float:
        """Return the largest absolute error that rounding in float32 explains in a picture.

        It is large where a network divides by a small number that it computed, such as the
        deviation of a flat picture.

        Args:
            name: Name of a case.
        """
        if self._bundle is None or name not in self._cases:
            return 0.0
        drawn = self._shown(self._redrawn_floats, self._cases[name])
        change = np.abs(drawn - self._cases[name].reference)
        return MARGIN * float(change.max()) if np.isfinite(change).all() else 0.0

    @cached_property
    def _redrawn_floats(self) -> ProgramReference:
        assert self._bundle is not None
        from edgeexpo.parity.redrawn import redrawn_floats  # brings torch
        from edgeexpo.parity.reference import ProgramReference

        return ProgramReference(self._bundle, "reference.pt2", "cpu", execution=redrawn_floats(0))

    def _shown(self, run: Any, case: Case) -> np.ndarray:
        assert self._bundle is not None
        return displayed(self._bundle.manifest.model, run(case.inputs))
