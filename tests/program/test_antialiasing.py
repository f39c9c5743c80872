from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec


class Reduced(nn.Module):
    def __init__(self, scale, mode):
        super().__init__()
        self.scale, self.mode = scale, mode

    def forward(self, x):
        small = F.interpolate(x, scale_factor=self.scale, mode=self.mode, antialias=True)
        return F.interpolate(small, size=x.shape[2:], mode="nearest")


def captured(network):
    return capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (64, 64))


def has_resize(program):
    nodes = program.exported.graph.nodes
    return any("_aa" in str(n.target) for n in nodes if n.op == "call_function")


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("scale", [1 / 2, 1 / 4, (1 / 2, 1), (1 / 8, 1 / 4)], ids=str)
def test_a_reduction_by_whole_factors_becomes_a_convolution(mode, scale):
    network = Reduced(scale, mode)
    program = captured(network)
    assert not has_resize(program)
    assert program.dynamic
    for height, width in ((64, 64), (47, 61), (33, 18)):
        x = torch.rand(1, 3, height, width)
        torch.testing.assert_close(program.exported.module()(x), network(x), atol=2e-6, rtol=0)


@pytest.mark.parametrize("factor", [3, 5])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_odd_factors_are_exact_as_well(mode, factor):
    from edgeexpo.program.antialiasing import _KERNELS, _taps

    operator = f"_upsample_{mode}2d_aa"
    weights, before = _taps(*_KERNELS[getattr(torch.ops.aten, operator).vec], factor)
    x = torch.rand(1, 1, 1, 12 * factor, dtype=torch.float64)
    row = weights[None, None, None]
    found = F.conv2d(x, row, None, (1, factor), (0, before))
    total = F.conv2d(torch.ones_like(x), row, None, (1, factor), (0, before))
    expected = F.interpolate(x, size=(1, 12), mode=mode, antialias=True)
    torch.testing.assert_close((found / total)[..., :12], expected)


def test_other_factors_stay():
    assert has_resize(captured(Reduced(0.4, "bilinear")))
