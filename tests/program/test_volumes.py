from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

INPUTS, Y = (TensorSpec("under"), TensorSpec("over")), (TensorSpec("y"),)

CONVOLUTIONS = {
    "the whole depth": {"kernel_size": (2, 3, 3), "padding": (0, 1, 1)},
    "padded depth": {"kernel_size": 3, "padding": 1},
    "groups": {"kernel_size": (2, 1, 1), "groups": 3},
    "strides and dilation": {"kernel_size": 3, "padding": (2, 2, 2), "dilation": 2, "stride": 2},
}


class Burst(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.layer = nn.Conv3d(3, 6, **settings)

    def forward(self, under, over):
        return self.layer(torch.stack([under, over], 2)).mean(2)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_over_frames_becomes_one_over_pixels(name):
    torch.manual_seed(0)
    network = Burst(CONVOLUTIONS[name]).eval()
    program = capture(network, INPUTS, Y, (32, 32), multiple=2)
    names = {str(n.target) for n in program.exported.graph.nodes}
    assert "aten.conv2d.default" in names
    assert "aten.conv3d.default" not in names
    frames = torch.rand(1, 3, 20, 18), torch.rand(1, 3, 20, 18)
    torch.testing.assert_close(program.exported.module()(*frames), network(*frames))
