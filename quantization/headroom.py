"""Headroom: wider ranges of activations, for detail that is finer than that of any photograph.

Fine detail can drive features beyond the range that photographs reach. Quantisation then clips
them. This is visible in a network that makes its picture from features alone. In ``exponet``,
squares of single pixels reach twice the range of photographs, three layers deep, and half of the
picture is lost. A range that is twice as wide costs one bit of eight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.quantization.simulation import Range, Rounding, observers, roundings
from edgeexpo.quantization.synthetic_pictures import _Inputs, between_ends, checks, fainter

MOST_HEADROOM = 2.0
"""Largest factor by which a range is widened."""

DETAIL_SIDES = (1, 2, 4)
"""Sides of the squares in the fine checks, in pixels of the network's input."""


def widen(simulated: GraphModule, pictures: Sequence[_Inputs]) -> None:
    """Widen the ranges of activations in place, so that they hold what fine checks reach.

    A range is widened by :data:`MOST_HEADROOM` at most and never narrowed. Zero points are
    unchanged, so that both ends move by the same factor. Ranges that several tensors share stay
    shared.

    Args:
        simulated: A simulated program (:func:`edgeexpo.quantization.simulation.simulate`).
        pictures: Its calibration inputs, 1xCxHxW each. The checks have the colours of each
            picture's darkest and brightest place.
    """
    watched = _Watched(simulated)
    with torch.no_grad():
        for drawn in _fine(pictures):
            watched.run(*drawn)
    for rounding, (low, high) in watched.ends.items():
        old = rounding.range
        ends = ((-128 - old.zero_point) * old.scale, (127 - old.zero_point) * old.scale)
        reached = max(_share(low, ends[0]), _share(high, ends[1]))
        rounding.range = Range(old.scale * min(max(reached, 1.0), MOST_HEADROOM), old.zero_point)


def _share(value: float, end: float) -> float:
    """Return a value as a share of the way from zero to an end of the range.

    An end at zero gives 0.
    """
    return value / end if end else 0.0


def _fine(pictures: Sequence[_Inputs]) -> Iterator[_Inputs]:
    for given in pictures:
        for side in DETAIL_SIDES:
            yield between_ends(given, 0, partial(_faint_checks, side=side))


def _faint_checks(height: int, width: int, side: int) -> Tensor:
    return fainter(checks(height, width, side))


class _Watched(Interpreter):
    """An interpreter that rounds no activation and notes the smallest and largest value of each."""

    def __init__(self, simulated: GraphModule) -> None:
        super().__init__(simulated)
        found = roundings(simulated)
        self._activations = {
            node: found[name] for name, node in observers(simulated) if not found[name].is_weight
        }
        self.ends: dict[Rounding, tuple[float, float]] = {}

    def run_node(self, n: Node) -> Any:
        """Return the node's result. The rounding of an activation returns its input unchanged."""
        if n not in self._activations:
            return super().run_node(n)
        value, rounding = self.env[n.all_input_nodes[0]], self._activations[n]
        low, high = self.ends.get(rounding, (0.0, 0.0))
        self.ends[rounding] = (min(low, float(value.min())), max(high, float(value.max())))
        return value
