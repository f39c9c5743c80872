from __future__ import annotations

import pytest
import torch

from edgeexpo.program.capture import capture
from edgeexpo.program.identities import remove_identities
from edgeexpo.spec import TensorSpec


class Formal(torch.nn.Module):
    """A network with operators that change nothing: type checks, conversions and dropout."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        y = torch.as_tensor(self.dropout(self.convolution(x)))
        return torch.relu(y.to(torch.float32)).contiguous()


@pytest.fixture(scope="module")
def formal():
    torch.manual_seed(0)
    return Formal().eval()


def test_a_captured_program_has_only_what_computes(formal):
    program = capture(formal, [TensorSpec("x")], [TensorSpec("y")], (32, 32))
    graph = program.exported.module().graph
    names = [str(n.target) for n in graph.nodes if n.op == "call_function"]
    assert names == ["aten.conv2d.default", "aten.relu.default"]
    x = torch.rand(1, 3, 24, 20)
    torch.testing.assert_close(program.exported.module()(x), formal(x))


def test_conversions_that_change_something_stay(formal):
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.to(torch.float16).to(torch.float32)

    module = torch.export.export(Half(), (torch.rand(1, 3, 8, 8),)).module()
    remove_identities(module)
    x = torch.full((1, 3, 8, 8), 0.1)
    assert torch.equal(module(x), x.half().float())


def test_dropout_in_training_stays():
    network = torch.nn.Dropout(0.5)
    module = torch.export.export(network, (torch.rand(1, 3, 8, 8),)).module()
    assert not remove_identities(module)


class Multiple(torch.nn.Module):
    """A network that pads its picture to a multiple inside itself."""

    def __init__(self, mode):
        super().__init__()
        self.mode, self.convolution = mode, torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        h, w = x.shape[2:]
        y = torch.nn.functional.pad(x, (0, -w % 8, 0, -h % 8), mode=self.mode)
        return self.convolution(y)[:, :, :h, :w]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("size", [(16, 24), (20, 24)], ids=["a multiple", "none"])
def test_padding_by_nothing_goes_and_other_padding_stays(mode, size):
    network = Multiple(mode).eval()
    program = capture(network, [TensorSpec("x", size=size)], [TensorSpec("y")], size)
    names = [str(n.target) for n in program.exported.graph.nodes if n.op == "call_function"]
    assert (names == ["aten.conv2d.default"]) is (size == (16, 24))
    x = torch.rand(1, 3, *size)
    torch.testing.assert_close(program.exported.module()(x), network(x))
