"""Tests that assignments through a mask become a choice at every pixel, with the same result."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec


def number(x):
    x[x < 0.3] = 0
    return x


def doubled(x):
    dark = x < 0.5
    x[dark] = x[dark] * 2
    return x


def curve(x):
    """Return the sRGB curve, whose power gives NaN for the negative values of the other branch."""
    x = x - 0.5
    out, dark = torch.empty_like(x), x <= 0.0031
    out[dark] = 12.92 * x[dark]
    out[~dark] = 1.055 * x[~dark] ** (1 / 2.4) - 0.055
    return out


def whole_pixels(x):
    dark = x.mean(1) < 0.5
    x.permute(0, 2, 3, 1)[dark] = 0.25
    return x


def one_channel(x):
    dark = x.mean(1) < 0.5
    x[:, 0][dark] += 1
    return x


class Assigning(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(x.clone())


@pytest.mark.parametrize("change", [number, doubled, curve, whole_pixels, one_channel])
def test_an_assignment_becomes_a_choice(change):
    network = Assigning(change)
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    names = {str(n.target) for n in program.exported.graph.nodes}
    assert not any("index" in name or "assert" in name for name in names)
    x = torch.rand(1, 3, 17, 24)
    found = program.exported.module()(x)
    torch.testing.assert_close(found, network(x))


def test_no_value_beside_the_mask_is_other_than_finite():
    program = capture(Assigning(curve), (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    seen = []

    class Watched(torch.fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            powers = "pow" in str(n.target)
            seen.extend([bool(torch.isfinite(result).all())] if powers else [])
            return result

    Watched(program.exported.module()).run(torch.rand(1, 3, 17, 24))
    assert seen == [True]


def test_a_statistic_of_the_values_under_a_mask_stays():
    def change(x):
        dark = x < 0.5
        x[dark] = x[dark] - x[dark].mean()
        return x

    program = capture(Assigning(change), (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    assert any("index" in str(n.target) for n in program.exported.graph.nodes)
