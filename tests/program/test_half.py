from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


class Normalising(nn.Module):
    """A network whose normalised picture feeds the body and reaches the output."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        y = x - self.mean
        return y + self.layer(torch.relu(self.layer(y)) * self.mean) + self.mean


class Placed(nn.Module):
    """A network that reads the columns of the picture."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        columns = torch.arange(x.shape[3], dtype=x.dtype) / x.shape[3]
        grid = columns.view(1, 1, 1, -1).expand(1, 1, x.shape[2], -1)
        return x + self.layer(torch.cat([x, grid], 1)) * (x > 0.5).float()


class Filtered(nn.Module):
    """A network that weights the frequencies of its features."""

    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1)
        self.mix = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        spectrum = torch.fft.rfft2(self.layer(x))
        parts = self.mix(torch.cat([spectrum.real, spectrum.imag], 1) / 32).chunk(2, 1)
        y = torch.fft.irfft2(torch.complex(*parts), s=x.shape[2:], norm="forward")
        return x + self.out(y / 32)


@pytest.mark.parametrize(
    "network", [Normalising, Placed, Filtered], ids=lambda network: network.__name__
)
def test_float_parts_are_cast_where_they_meet_the_half(network):
    torch.manual_seed(0)
    network = network().eval()
    program = half(capture(network, X, Y, (32, 32)))
    x = torch.rand(1, 3, *((17, 24) if program.dynamic else (32, 32)))
    with torch.no_grad():
        result = program.exported.module()(x)
        torch.testing.assert_close(result, network(x), rtol=0, atol=4e-3)
    assert result.dtype == torch.float32
    layers = [n for n in program.exported.graph.nodes if "conv" in str(n.target)]
    assert {n.meta["val"].dtype for n in layers} == {torch.float16}


def test_columns_are_counted_in_float32():
    program = half(capture(Placed().eval(), X, Y, (32, 32)))
    counted = [n for n in program.exported.graph.nodes if "arange" in str(n.target)]
    assert [n.meta["val"].dtype for n in counted] == [torch.float32]
