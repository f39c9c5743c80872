from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeexpo.errors import ModuleError
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


def assigns_a_slice(y):
    y[:, :2] = y[:, 1:] * 0.5
    return y


def assigns_phases(y):
    out = torch.zeros_like(y)
    out[:, :, ::2, 1::2] = y[:, :, ::2, 1::2] * 2
    return out


def assigns_a_channel(y):
    y[:, 2] = y[:, 0]
    return y


def fills_a_mask(y):
    y.masked_fill_(y < 0.3, 0.1)
    return y


def adds_and_rectifies(y):
    y += 1
    y.sub_(1.2)
    return F.relu(y, inplace=True)


def assigns_to_a_view(y):
    view = y[:, 1:]
    view *= 3
    return y


CHANGES = [
    assigns_a_slice,
    assigns_phases,
    assigns_a_channel,
    fills_a_mask,
    adds_and_rectifies,
    assigns_to_a_view,
]


class Changing(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer, self.change = nn.Conv2d(3, 3, 1), change

    def forward(self, x):
        return self.change(self.layer(x).clone())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_captured_program_changes_nothing_in_place(change):
    torch.manual_seed(0)
    network = Changing(change).eval()
    program = capture(network, X, Y, (32, 32), multiple=2)
    for node in program.exported.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        assert schema is None or not schema.is_mutable
    x = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        torch.testing.assert_close(program.exported.module()(x), network(x))


class Counting(nn.Module):
    """A network that counts its calls, and adds the count if it ``reads`` it."""

    def __init__(self, reads):
        super().__init__()
        self.reads = reads
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return x + self.calls if self.reads else x * 2


def test_a_counter_that_nobody_reads_goes():
    program = capture(Counting(reads=False), X, Y, (32, 32))
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(program.exported.module()(x), x * 2)


def test_a_result_that_depends_on_earlier_calls_is_refused():
    with pytest.raises(ModuleError, match=r"'calls' at test_mutations.py:\d+ and reads it"):
        capture(Counting(reads=True), X, Y, (32, 32))
