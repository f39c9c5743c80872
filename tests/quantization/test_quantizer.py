"""Tests that no operator shares the scale of an operator that stays in float."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.spec import TensorSpec


class Tokens(nn.Module):
    """A network that adds a learned offset to pixels as tokens, as many transformers do."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.offset = nn.Parameter(torch.randn(1, 1, 8))
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        n, _, h, w = x.shape
        tokens = self.first(x).flatten(2).transpose(1, 2) + self.offset
        return self.last(tokens.transpose(1, 2).reshape(n, 8, h, w))


def test_reshapes_after_float_arithmetic_quantise():
    torch.manual_seed(0)
    network = Tokens().eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    pictures = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    quantized = quantize_program(program, ({"x": picture} for picture in pictures))
    x = torch.from_numpy(pictures[0]).permute(2, 0, 1)[None]
    with torch.no_grad():
        error = (quantized.exported.module()(x) - network(x)).abs().max()
    assert 0 < error < 0.1
