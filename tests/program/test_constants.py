from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from edgeexpo.program import constants
from edgeexpo.program.capture import capture
from edgeexpo.program.constants import fold_constants
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


class Standardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w / (w.std((1, 2, 3), keepdim=True) + 1e-5), self.bias)


class Repeated(nn.Module):
    """A fixed blur, repeated for every channel."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", torch.tensor([1.0, 2, 1]) / 4)

    def forward(self, x):
        kernel = (self.kernel[:, None] * self.kernel).repeat(x.shape[1], 1, 1, 1)
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


class Reparameterised(nn.Module):
    """A 3x3 and a 1x1 convolution that become one."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(3, 4, 1, bias=False)

    def forward(self, x):
        kernel = self.wide.weight + F.pad(self.narrow.weight, (1, 1, 1, 1))
        return F.conv2d(x, kernel, padding=1)


class Looked(nn.Module):
    """A table of biases that is read at constant places, as in window attention."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(5))
        self.register_buffer("places", torch.tensor([0, 3, 4]))

    def forward(self, x):
        return x + self.table[self.places].view(1, 3, 1, 1)


MODULES = {
    "weight norm": lambda: nn.utils.weight_norm(nn.Conv2d(3, 4, 3)),
    "parametrised weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    "spectral norm": lambda: nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)),
    "parametrised spectral norm": lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Conv2d(3, 4, 1)),
    "transposed": lambda: nn.utils.weight_norm(nn.ConvTranspose2d(3, 4, 3), dim=1),
    "standardised": lambda: Standardised(3, 4, 3),
    "repeated kernel": Repeated,
    "re-parameterised": Reparameterised,
    "looked up": Looked,
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The tensor attribute")
@pytest.mark.parametrize("name", MODULES)
def test_a_computed_weight_becomes_a_plain_parameter(name):
    torch.manual_seed(0)
    network = MODULES[name]().eval()
    graph_module = torch.export.export(network, (torch.rand(1, 3, 16, 16),)).module()
    assert fold_constants(graph_module)
    operators = [n for n in graph_module.graph.nodes if n.op == "call_function"]
    assert len(operators) == 1
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(graph_module(x), network(x))


def test_what_is_folded_is_no_longer_kept():
    network = MODULES["parametrised weight norm"]().eval()
    program = capture(network, X, Y, (32, 32))
    sizes = sorted(value.numel() for value in program.exported.state_dict.values())
    assert sizes == [4, 4 * 3 * 9]


def test_a_plain_network_is_unchanged(residual):
    graph_module = torch.export.export(residual, (torch.rand(1, 3, 16, 16),)).module()
    assert not fold_constants(graph_module)


class Random(nn.Module):
    def forward(self, x):
        return x + torch.randn(3, 1, 1)


def test_random_numbers_are_drawn_at_every_call():
    graph_module = torch.export.export(Random(), (torch.rand(1, 3, 16, 16),)).module()
    assert not fold_constants(graph_module)


class Grid(nn.Module):
    def forward(self, x):
        return x + torch.arange(16.0)[:, None] * torch.arange(16.0)


def test_a_constant_that_would_be_too_large_stays_computed(monkeypatch):
    monkeypatch.setattr(constants, "LARGEST_CONSTANT", 100)
    graph_module = torch.export.export(Grid(), (torch.rand(1, 3, 16, 16),)).module()
    assert fold_constants(graph_module)
    names = [str(n.target) for n in graph_module.graph.nodes if n.op == "call_function"]
    assert names == ["aten.mul.Tensor", "aten.add.Tensor"]
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(graph_module(x), Grid()(x))
