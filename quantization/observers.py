"""How the range of an activation is taken from what calibration shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torchao.quantization.pt2e.observer import HistogramObserver, MinMaxObserver

SMALLEST_SCALE = 2.0**-12
"""Smallest scale, as XNNPACK's own configuration has it."""

OUTSIDE = 1e-4
"""Share of a picture's values that the percentile observer leaves outside at either end."""


class PercentileObserver(MinMaxObserver):  # type: ignore[misc]
    """The widest of the pictures' ranges, each without :data:`OUTSIDE` of its values at an end.

    A few outliers then cost themselves, and not every other value a share of its steps.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Note the range of ``x``, of any shape, and give ``x`` back."""
        flat = x.detach().flatten().float()
        outside = int(flat.numel() * OUTSIDE)
        ends = (flat.kthvalue(1 + outside).values, flat.kthvalue(flat.numel() - outside).values)
        super().forward(torch.stack(ends))
        return x


OBSERVERS: Mapping[str, Any] = MappingProxyType(
    {
        "mse": HistogramObserver.with_args(eps=SMALLEST_SCALE),
        "minmax": MinMaxObserver.with_args(eps=SMALLEST_SCALE),
        "percentile": PercentileObserver.with_args(eps=SMALLEST_SCALE),
    }
)
"""Name -> observer: least squared error over a histogram, all that was seen, nearly all of it."""

DEFAULT = "mse"
