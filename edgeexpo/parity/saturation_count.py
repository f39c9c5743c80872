"""The count of what saturates while a quantised program runs in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgeexpo.parity.reference import Codes, fused_codes
from edgeexpo.parity.saturation import Saturation


class SaturationCount:
    """Counts what saturates while a quantised program runs; its results stay the same."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, float]] = {}

    def execution(self, module: GraphModule) -> Callable[..., Any]:
        """Return the function that runs ``module`` and counts."""
        return fused_codes(module, self._counted)

    def take(self, picture: str) -> tuple[Saturation, ...]:
        """Return what saturated since the last call, and begin again.

        A picture may have run in several tiles. The worst tile of each layer counts.

        Args:
            picture: Name of the picture that ran.
        """
        taken = tuple(Saturation(layer, picture, *worst) for layer, worst in self._found.items())
        self._found = {}
        return taken

    def _counted(self, quantizer: Node) -> Codes:
        layer = str(quantizer.args[0])

        def codes(x: torch.Tensor, scale: float, zero: int, low: int, high: int) -> torch.Tensor:
            found = (x * (1.0 / scale)).round_().add_(zero)
            ends = found.aminmax()
            least, most = float(ends.min), float(ends.max)
            if least < low or most > high:
                share = float(((found < low) | (found > high)).double().mean())
                reach = max(_multiple(least, low, zero), _multiple(most, high, zero))
                known = self._found.get(layer, (0.0, 0.0))
                self._found[layer] = max(known[0], share), max(known[1], reach)
            return found.clamp_(low, high).sub_(zero).mul_(scale)

        return codes


def _multiple(code: float, end: int, zero: int) -> float:
    return (code - zero) / (end - zero) if end != zero else 0.0
