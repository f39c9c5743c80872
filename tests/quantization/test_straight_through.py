"""Gradients pass through roundings, and values stay the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.quantization.straight_through import pass_gradients


class Ends(nn.Module):
    """A scaled picture that an operation at the end turns to whole numbers."""

    def __init__(self, end):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.3))
        self.end = end

    def forward(self, x):
        return self.end(self.scale * x)


def traced(module):
    graph = torch.export.export(module, (torch.rand(1, 3, 8, 8),)).module()
    x = torch.rand(1, 3, 8, 8)
    before = graph(x).detach()
    pass_gradients(graph)
    after = graph(x)
    torch.testing.assert_close(after.float(), before.float(), rtol=0, atol=1e-6)
    after.float().sum().backward()
    return float(next(graph.parameters()).grad), float(x.sum())


@pytest.mark.parametrize(
    ("end", "slope"),
    [
        (torch.round, 1),
        (torch.trunc, 1),
        (lambda x: torch.floor(x + 0.5) / 255, 1 / 255),
        (lambda x: torch.round(x, decimals=1), 1),
        (lambda x: (x * 255 / 4).round().to(torch.uint8).float() / 255, 1 / 4),
        (lambda x: x.int().float(), 1),
    ],
)
def test_a_rounded_end_has_the_gradient_of_what_it_rounds(end, slope):
    gradient, total = traced(Ends(end))
    assert gradient == pytest.approx(slope * total, rel=1e-3)


def test_a_fraction_keeps_its_own_gradient():
    gradient, total = traced(Ends(lambda x: x - torch.floor(x)))
    assert gradient == pytest.approx(total, rel=1e-3)


def test_indices_stay_whole_numbers():
    table = torch.arange(8.0)
    traced(Ends(lambda x: x + 0 * table[(x * 2).long().clamp(0, 7)]))
