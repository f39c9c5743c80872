"""Tests that factors of sums and arithmetic on masks are written out."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec
from tests.support.networks import Operation

SUMS = {
    "add": lambda x: torch.add(x, x * x, alpha=2),
    "sub": lambda x: torch.sub(x, x * x, alpha=0.5),
    "rsub": lambda x: torch.rsub(x, 1, alpha=3),
    "number": lambda x: torch.add(x, 2, alpha=3),
    "integers": lambda x: x * torch.add((4 * x).int(), torch.arange(3).view(3, 1, 1), alpha=2),
}


def captured(network):
    return capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))


@pytest.mark.parametrize("name", SUMS)
def test_no_sum_keeps_a_factor(name):
    network = Operation(SUMS[name])
    program = captured(network)
    sums = [n for n in program.exported.graph.nodes if str(n.target).startswith("aten.")]
    assert all(n.kwargs.get("alpha", 1) == 1 for n in sums)
    assert all(len(n.args) < 3 for n in sums if "add" in str(n.target) or "sub" in str(n.target))
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))


def test_sums_and_products_of_masks_are_logic():
    def change(x):
        middle = (x > 0.2) * (x < 0.8)
        return x * (middle + (x > 0.9)) + (x > 0.5)

    network = Operation(change)
    program = captured(network)
    names = [str(n.target) for n in program.exported.graph.nodes]
    assert {"aten.logical_and.default", "aten.logical_or.default"} <= set(names)
    assert names.count("aten.add.Tensor") == names.count("aten.mul.Tensor") == 1
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))
