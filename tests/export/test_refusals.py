"""Adaptive pooling is lowered at varying sizes where its grid divides them, or is a mean."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgeexpo.export.refusals import uneven_pooling
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec


class Pooled(torch.nn.Module):
    def __init__(self, pool, grid):
        super().__init__()
        self.pool, self.grid = pool, grid

    def forward(self, x):
        return x + F.interpolate(self.pool(x, self.grid), size=x.shape[2:])


@pytest.mark.parametrize(
    ("pool", "grid", "multiple", "even"),
    [
        (F.adaptive_avg_pool2d, (1, 1), 1, True),
        (F.adaptive_avg_pool2d, (6, 6), 1, True),
        (F.adaptive_max_pool2d, (4, 2), 8, True),
        (F.adaptive_max_pool2d, (6, 6), 1, False),
        (F.adaptive_max_pool2d, (3, 1), 8, False),
    ],
)
def test_a_grid_that_does_not_divide_every_size_is_found_with_its_line(pool, grid, multiple, even):
    network = Pooled(pool, grid)
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (48, 48), multiple)
    found = uneven_pooling(program)
    assert not found if even else "adaptive" in found and "test_refusals.py" in found
