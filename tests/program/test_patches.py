"""Tests that patches as columns are torch's, at fixed and at varying sizes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeexpo.program.capture import capture
from edgeexpo.program.patches import folded, unfolded
from edgeexpo.spec import TensorSpec

GEOMETRIES = [
    # kernel, dilation, padding, stride
    ((3, 3), (1, 1), (1, 1), (1, 1)),
    ((3, 5), (2, 1), (2, 0), (1, 1)),
    ((4, 4), (1, 1), (0, 0), (4, 4)),
    ((4, 4), (1, 1), (1, 1), (2, 2)),
    ((7, 7), (1, 1), (3, 3), (4, 4)),
    ((2, 3), (1, 1), (0, 1), (2, 2)),
    ((2, 2), (1, 1), (0, 0), (3, 3)),
]
SIZES = [(16, 24), (17, 23)]


@pytest.mark.parametrize(("geometry", "size"), list(itertools.product(GEOMETRIES, SIZES)), ids=str)
def test_patches_are_torchs(geometry, size):
    x = torch.randn(2, 3, *size)
    columns = F.unfold(x, *geometry)
    torch.testing.assert_close(unfolded(x, *geometry), columns)
    torch.testing.assert_close(folded(columns, size, *geometry), F.fold(columns, size, *geometry))


def test_patches_with_unequal_strides_and_gaps_are_torchs():
    x, geometry = torch.randn(2, 3, 16, 23), ((2, 3), (2, 2), (1, 0), (3, 2))
    torch.testing.assert_close(unfolded(x, *geometry), F.unfold(x, *geometry))


class Mixed(nn.Module):
    """A network that mixes the pixels of patches."""

    def __init__(self, kernel, dilation, padding, stride):
        super().__init__()
        self.geometry = {
            "kernel_size": kernel,
            "dilation": dilation,
            "padding": padding,
            "stride": stride,
        }
        pixels = 3 * kernel[0] * kernel[1]
        self.mix = nn.Linear(pixels, pixels)

    def forward(self, x):
        columns = F.unfold(x, **self.geometry).transpose(1, 2)
        return F.fold(self.mix(columns).transpose(1, 2), x.shape[2:], **self.geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES[::3], ids=str)
def test_the_captured_program_has_plain_operators_at_every_size(geometry):
    network = Mixed(*geometry).eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (48, 48))
    names = {str(n.target) for n in program.exported.graph.nodes}
    assert not names & {"aten.im2col.default", "aten.col2im.default"}
    assert program.dynamic
    for size in ((48, 48), (17, 29)):
        x = torch.rand(1, 3, *size)
        found = program.exported.module(check_guards=False)(x)
        torch.testing.assert_close(found, network(x))


def test_folded_patches_with_gaps_stay():
    network = Mixed((2, 2), (2, 2), (0, 0), (2, 2)).eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    names = {str(n.target) for n in program.exported.graph.nodes}
    assert "aten.col2im.default" in names
