from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec


class Padded(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.widths = widths

    def forward(self, x):
        return F.pad(x, self.widths, mode="circular") * 2


@pytest.mark.parametrize("widths", [(1, 2, 3, 0), (0, 0, 2, 2), (4, 4, 4, 4)], ids=str)
def test_circular_padding_becomes_a_concatenation(widths):
    network = Padded(widths)
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    assert program.dynamic
    assert not any("pad" in str(n.target) for n in program.exported.graph.nodes)
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))
