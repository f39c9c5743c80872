"""Tests that INT8 leaves in float what works on the parts of complex numbers."""

from __future__ import annotations

import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.quantization.quantizer import left_in_float
from edgeexpo.spec import TensorSpec


class Filtered(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.mix = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        spectrum = torch.fft.rfft2(self.before(x), norm="ortho")
        parts = self.mix(torch.cat([spectrum.real, spectrum.imag], 1)).chunk(2, 1)
        return x + self.after(torch.fft.irfft2(torch.complex(*parts), s=(16, 16), norm="ortho"))


def test_only_the_convolution_of_frequencies_stays_in_float():
    program = capture(
        Filtered().eval(), (TensorSpec("x", size=(16, 16)),), (TensorSpec("y"),), (16, 16)
    )
    rules = left_in_float(program.exported.module())
    kept = {n.name: rule for n, rule in rules.items() if "conv" in str(n.target)}
    assert kept == {"conv2d_1": "works on frequencies"}
