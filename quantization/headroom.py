"""Wider ranges: room for what detail finer than any photograph's makes of a network's features.

A network that makes its picture from features alone shows anything where they are clipped: in
``exponet`` squares of single pixels reach twice what photographs do, three layers deep, and half of
the picture is gone. A range that is twice as wide costs one bit of eight.
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
"""How much wider a range gets at most."""

DETAIL_SIDES = (1, 2, 4)
"""Of the squares, in pixels of the network's input."""


def widen(simulated: GraphModule, pictures: Sequence[_Inputs]) -> None:
    """Widen the ranges of ``simulated``, in place, to what fine checks reach: at most doubled.

    Zero points stay, so that both ends move alike; ranges that several tensors share stay shared.

    Args:
        simulated: A simulated program (:func:`edgeexpo.quantization.simulation.simulate`).
        pictures: Its calibration inputs, 1xCxHxW each: the checks have the colours of their darkest
            and their brightest place.
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
    """How much of the way from zero to an end a value is; an end at zero is out of reach."""
    return value / end if end else 0.0


def _fine(pictures: Sequence[_Inputs]) -> Iterator[_Inputs]:
    for given in pictures:
        for side in DETAIL_SIDES:
            yield between_ends(given, 0, partial(_faint_checks, side=side))


def _faint_checks(height: int, width: int, side: int) -> Tensor:
    return fainter(checks(height, width, side))


class _Watched(Interpreter):
    """Lets activations pass unrounded and notes least and largest value at each rounding."""

    def __init__(self, simulated: GraphModule) -> None:
        super().__init__(simulated)
        found = roundings(simulated)
        self._activations = {
            node: found[name] for name, node in observers(simulated) if not found[name].is_weight
        }
        self.ends: dict[Rounding, tuple[float, float]] = {}

    def run_node(self, n: Node) -> Any:
        """The node's result; an activation's rounding passes what it is given."""
        if n not in self._activations:
            return super().run_node(n)
        value, rounding = self.env[n.all_input_nodes[0]], self._activations[n]
        low, high = self.ends.get(rounding, (0.0, 0.0))
        self.ends[rounding] = (min(low, float(value.min())), max(high, float(value.max())))
        return value
