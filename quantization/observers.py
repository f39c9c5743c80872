"""Observers, which choose the range of an activation from its values during calibration."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torchao.quantization.pt2e.observer import HistogramObserver, MinMaxObserver

SMALLEST_SCALE = 2.0**-12
"""Smallest scale of an activation, the same as in XNNPACK's own configuration."""

OUTSIDE = 1e-4
"""Share of a picture's values outside the percentile observer's range, at each end."""


class PercentileObserver(MinMaxObserver):  # type: ignore[misc]
    """An observer whose range leaves out each picture's outliers.

    The range of a picture leaves out :data:`OUTSIDE` of its values at each end. The observer's
    range covers the ranges of all pictures. A few outliers are then clipped, instead of making the
    steps of all other values larger.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Note the range of ``x``, a tensor of any shape, and return ``x`` unchanged."""
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
"""Observers by name.

``mse`` minimises the squared error over a histogram. ``minmax`` covers all values that occurred.
``percentile`` covers nearly all values (:class:`PercentileObserver`).
"""

DEFAULT = "mse"
"""Name of the default observer."""
