"""The table of what each layer costs, as ``sensitivity`` returns it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexpo.quantization.sensitivity import (
    Quality,
    Sensitivity,
)
from edgeexpo.short_repr import short_repr


@dataclass(frozen=True)
class LayerCost:
    """The row of one operator.

    Attributes:
        sensitivity: The quality that its quantisation costs.
        pruned: Quality when only this layer is pruned. ``None`` if pruning was not requested or is
            not possible.
        whole: Reason why the layer cannot be pruned. ``None`` if it was pruned or pruning was not
            requested.
    """

    sensitivity: Sensitivity
    pruned: Quality | None = None
    whole: str | None = None


@dataclass(frozen=True)
class SensitivityTable:
    """All operators of a network, the costliest first.

    The cost of an operator is the worst picture when only this operator is quantised.

    Attributes:
        model: Name of the network.
        layers: Rows of the operators.
        everything: Quality when all operators are quantised.
        pictures: Names of the pictures that the quality was measured on.
        size: (height, width) of the pictures in pixels.
    """

    model: str
    layers: tuple[LayerCost, ...]
    everything: Quality
    pictures: tuple[str, ...]
    size: tuple[int, int]

    def __repr__(self) -> str:
        height, width = self.size
        return short_repr(
            f"SensitivityTable of {self.model}: all in INT8 {self.everything.worst:.2f} dB at "
            f"worst, on {len(self.pictures)} pictures of {height}x{width}; each alone:",
            [_in_short(row) for row in self.layers],
        )


def _in_short(row: LayerCost) -> str:
    operator, alone = row.sensitivity.operator, row.sensitivity.alone
    pruned = "" if row.pruned is None else f"; pruned {row.pruned.worst:.2f}"
    return f"{operator.name} {operator.module}: {alone.worst:.2f} dB{pruned}"
