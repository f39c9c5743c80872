"""Tests that every normalisation keeps its meaning under the name of the statistics it uses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

NORMS = {
    "kept": (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), None),
    "kept, not affine": (nn.InstanceNorm2d(3, track_running_stats=True), "batch_norm"),
    "own": (nn.InstanceNorm2d(3, affine=True), "instance_norm"),
    "own batch": (nn.BatchNorm2d(3, track_running_stats=False), "instance_norm"),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_normalisation_is_named_after_its_statistics(name):
    torch.manual_seed(0)
    norm, expected = NORMS[name]
    for value in (*norm.parameters(), *(b for b in norm.buffers() if b.is_floating_point())):
        nn.init.uniform_(value, 0.5, 1.5)
    convolution = nn.Conv2d(3, 3, 1) if expected is None else nn.ReLU()
    network = nn.Sequential(convolution, norm).eval()
    program = capture(network, (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    names = [str(n.target) for n in program.exported.graph.nodes if n.op == "call_function"]
    found = [n.split(".")[1] for n in names if "norm" in n]
    assert found == ([] if expected is None else [expected])
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x), rtol=1e-4, atol=1e-5)
