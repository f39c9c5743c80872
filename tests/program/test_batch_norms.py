from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.program.batch_norms import fold_batch_norms

CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(4, 8, 3),
    "without bias": lambda: nn.Conv2d(4, 8, 3, bias=False),
    "same": lambda: nn.Conv2d(4, 8, 3, padding="same"),
    "groups": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 8, 4, stride=2, padding=1),
    "transposed groups": lambda: nn.ConvTranspose2d(4, 8, 3, groups=4, bias=False),
    "transposed two groups": lambda: nn.ConvTranspose2d(4, 8, 3, groups=2),
}


def followed(layer, norm):
    """Return a layer with a batch norm of random statistics, as a graph module and in torch."""
    torch.manual_seed(0)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if norm.affine:
        norm.weight.data.uniform_(0.5, 2)
        norm.bias.data.normal_()
    network = nn.Sequential(layer, norm).eval()
    x = torch.rand(1, 4, 12, 12)
    return torch.export.export(network, (x,)).module(), network, x


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_batch_norm_becomes_part_of_the_weights(name, affine):
    module, network, x = followed(CONVOLUTIONS[name](), nn.BatchNorm2d(8, affine=affine))
    assert fold_batch_norms(module)
    operators = [str(n.target) for n in module.graph.nodes if n.op == "call_function"]
    assert len(operators) == 1
    assert "conv" in operators[0]
    torch.testing.assert_close(module(x), network(x), rtol=1e-5, atol=1e-5)


class ReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.layer(x)
        return y + self.norm(y)


def test_a_convolution_that_something_else_reads_stays():
    module = torch.export.export(ReadTwice().eval(), (torch.rand(1, 4, 12, 12),)).module()
    assert not fold_batch_norms(module)
