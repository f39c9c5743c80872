from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

FILLS = {
    "new_zeros": lambda x: x.new_zeros(1, 3, x.shape[2], 1),
    "new_ones": lambda x: x.new_ones((3, 1, 1)),
    "new_full": lambda x: x.new_full((1, 3, 1, 1), 0.9),
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "full_like": lambda x: torch.full_like(x, 0.3),
    "a mask": lambda x: torch.ones_like(x, dtype=torch.bool),
    "a number": lambda x: x.new_zeros(()),
}


class Filled(nn.Module):
    def __init__(self, fill):
        super().__init__()
        self.fill = fill

    def forward(self, x):
        return torch.where(x > 0.5, x, self.fill(x) * 0.5)


@pytest.mark.parametrize("name", FILLS)
def test_a_filled_tensor_depends_on_sizes_alone(name):
    network = Filled(FILLS[name])
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    names = {str(n.target) for n in program.exported.graph.nodes}
    assert not any("new_" in name or "_like" in name for name in names)
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=["the same", "another"])
def test_a_mask_of_the_pictures_type_is_a_constant(dtype):
    class Masked(nn.Module):
        def forward(self, x):
            mask = torch.zeros(1, 1, 16, 1, dtype=dtype).type_as(x)
            mask[:, :, 4:-4] = 0.5
            return x * mask

    network = Masked().eval()
    program = capture(network, (TensorSpec("x", size=(16, 16)),), (TensorSpec("y"),), (16, 16))
    names = [str(n.target) for n in program.exported.graph.nodes if n.op == "call_function"]
    assert names == ["aten.mul.Tensor"]
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(program.exported.module()(x), network(x))
