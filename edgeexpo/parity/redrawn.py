"""Executions of a program in torch whose roundings are drawn at random."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.parity.reference import Execution, fused_codes

EPSILON = 2.0**-23
"""Distance of 1 to the next number of float32."""

SUM_ROUNDINGS = 60.0
"""RMS error of a sum that another order explains, in units of :data:`EPSILON` of its RMS."""

SUMS = ("conv", "linear", "mm", "matmul", "mean", "sum", "var", "std", "norm", "pool")
"""Parts of the names of operators that add many values."""


def redrawn_codes(seed: int) -> Execution:
    """Return an execution of a quantised program that moves values by up to half a code.

    Every value is moved before it is rounded, evenly between half a code down and up. Equal
    pictures get equal draws.
    """

    def execution(module: GraphModule) -> Any:
        generator = torch.Generator()

        def codes(x: torch.Tensor, scale: float, zero: int, low: int, high: int) -> torch.Tensor:
            moved = torch.rand(x.shape, generator=generator).sub_(0.5).to(x.dtype)
            found = moved.add_(x * (1.0 / scale)).round_().add_(zero).clamp_(low, high)
            return found.sub_(zero).mul_(scale)

        run = fused_codes(module, lambda _: codes)

        def drawn(*pictures: torch.Tensor) -> Any:
            generator.manual_seed(seed)
            return run(*pictures)

        return drawn

    return execution


def redrawn_floats(seed: int) -> Execution:
    """Return an execution of a float program that moves pictures and sums by their rounding.

    The moves are independent and have an RMS of :data:`SUM_ROUNDINGS`. Equal pictures get equal
    draws.
    """

    def execution(module: GraphModule) -> Any:
        return lambda *pictures: _Moving(module, seed).run(*pictures)

    return execution


class _Moving(Interpreter):
    """Runs a program and moves its inputs and the results of sums."""

    def __init__(self, module: GraphModule, seed: int) -> None:
        super().__init__(module)
        self._generator = torch.Generator().manual_seed(seed)

    def run_node(self, n: Node) -> Any:
        """Return the node's value, moved."""
        value = super().run_node(n)
        sums = n.op == "call_function" and any(name in str(n.target) for name in SUMS)
        if not (sums or n.op == "placeholder"):
            return value
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        size = SUM_ROUNDINGS * EPSILON * float(value.square().mean().sqrt())
        even = torch.rand(value.shape, generator=self._generator).mul_(2).sub_(1)
        return value + even.mul_(math.sqrt(3) * size).to(value)
