from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

SAMPLER = torch.ops.aten.grid_sampler.default


class Sliced(nn.Module):
    """A bilateral grid that is read where a guide says, also outside the grid."""

    def __init__(self, padding, aligned):
        super().__init__()
        self.padding, self.aligned = padding, aligned
        self.grid = nn.Parameter(torch.rand(1, 3, 4, 5, 6))

    def forward(self, x):
        places = 3 * x.permute(0, 2, 3, 1)[:, None] - 1.5
        return F.grid_sample(
            self.grid, places, padding_mode=self.padding, align_corners=self.aligned
        )[:, :, 0]


@pytest.mark.parametrize(
    ("padding", "aligned"), list(itertools.product(("zeros", "border"), (True, False)))
)
def test_samples_from_a_volume_become_samples_from_slices(padding, aligned):
    torch.manual_seed(0)
    network = Sliced(padding, aligned).eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    sampled = [n for n in program.exported.graph.nodes if n.target == SAMPLER]
    assert [n.meta["val"].dim() for n in sampled] == [4]
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))


class Table(nn.Module):
    """A 3-D lookup table of colours, with its samples along three axes or in one plane."""

    def __init__(self, axes):
        super().__init__()
        self.axes = axes
        self.table = nn.Parameter(torch.rand(1, 3, 5, 6, 7))

    def forward(self, x):
        places = (2 * x - 1).permute(0, 2, 3, 1)
        if self.axes == 1:
            return F.grid_sample(self.table, places[:, None], align_corners=True)[:, :, 0]
        return F.grid_sample(self.table, places[:, :, :, None], align_corners=True)[..., 0]


@pytest.mark.parametrize("axes", [1, 2])
def test_a_table_of_colours_is_kept_as_its_slices(axes):
    network = Table(axes).eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    assert program.dynamic
    assert all(v.dim() < 5 for v in program.exported.state_dict.values())
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))


def test_reflected_samples_stay():
    network = Sliced("reflection", aligned=False).eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    sampled = [n for n in program.exported.graph.nodes if n.target == SAMPLER]
    assert [n.meta["val"].dim() for n in sampled] == [5]
