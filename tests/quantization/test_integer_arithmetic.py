"""Tests that INT8 preparation leaves arithmetic on indices alone."""

from __future__ import annotations

import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.spec import TensorSpec
from tests.support.pictures import smooth_picture


class Curve(nn.Module):
    """A curve that is read at an index and at the next one."""

    def __init__(self):
        super().__init__()
        self.curve = nn.Parameter(torch.linspace(0, 1, 9).sqrt())
        self.first, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        place = x.clamp(0, 1) * 8
        index = place.floor().clamp(max=7).long()
        y = torch.lerp(self.curve[index], self.curve[index + 1], place - index)
        return y + 0.1 * self.last(torch.relu(self.first(x)))


def test_an_index_plus_one_stays_an_index():
    torch.manual_seed(0)
    network = Curve().eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    quantized = quantize_program(program, [{"x": smooth_picture(32, 32, 0)}])
    x = torch.from_numpy(smooth_picture(24, 20, 1).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        torch.testing.assert_close(quantized.exported.module()(x), network(x), rtol=0, atol=0.01)
