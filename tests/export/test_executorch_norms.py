"""Tests that normalisations for ExecuTorch give what torch gives, on flat features too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgeexpo.export.executorch_decompositions import executorch_form
from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.program.capture import capture
from edgeexpo.runtime.engines.executorch import ExecutorchEngine
from edgeexpo.spec import TensorSpec


class Flat(nn.Module):
    """Offset features whose variance is far below their square, normalised."""

    def __init__(self, norm, last=False):
        super().__init__()
        torch.manual_seed(0)
        for parameter in norm.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)
        self.norm, self.last = norm, last

    def forward(self, x):
        x = torch.cat([x, x * 0.5], 1)
        x = x.permute(0, 2, 3, 1) if self.last else x
        x = self.norm(x)
        return x.permute(0, 3, 1, 2) if self.last else x


NORMS = {
    "group": (nn.GroupNorm(2, 6), False),
    "one group": (nn.GroupNorm(1, 6), False),
    "a group a channel": (nn.GroupNorm(6, 6), False),
    "instance": (nn.InstanceNorm2d(6), False),
    "affine instance": (nn.InstanceNorm2d(6, affine=True), False),
    "running instance": (nn.InstanceNorm2d(6, track_running_stats=True), False),
    "layer": (nn.LayerNorm(6), True),
    "layer of rows": (nn.LayerNorm((24, 6), elementwise_affine=False), True),
}
X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_a_normalisation_as_means_and_products(name, offset):
    network = Flat(*NORMS[name]).eval()
    x = offset + torch.rand(1, 3, 16, 24)
    exported = executorch_form(torch.export.export(network, (x,)))
    names = {str(n.target) for n in exported.graph.nodes}
    assert not any("group_norm" in n or "instance_norm" in n or "layer_norm" in n for n in names)
    torch.testing.assert_close(exported.module()(x), network(x), rtol=1e-3, atol=1e-3)


def test_a_program_without_normalisation_stays_as_it_is():
    exported = torch.export.export(nn.Conv2d(3, 3, 1).eval(), (torch.rand(1, 3, 16, 16),))
    assert executorch_form(exported) is exported


@pytest.mark.parametrize("name", ["group", "layer"])
def test_flat_features_give_numbers(name, tmp_path):
    network = Flat(*NORMS[name]).eval()
    program = capture(network, (TensorSpec("x", size=(16, 24)),), Y, (16, 24))
    export_executorch(program, tmp_path / "net.pte")
    engine = ExecutorchEngine(Spec())
    engine.load(tmp_path / "net.pte")
    for level in (0.0, 0.1, 1 / 3, 0.7):
        x = torch.full((1, 3, 16, 24), level)
        found = engine.run({"x": x.numpy()})["y"]
        assert np.abs(found - network(x).detach().numpy()).max() < 1e-2


class Spec:
    inputs, outputs = X, Y


class Remainder(nn.Module):
    def forward(self, x):
        return x + ((20 * x).int() - 10) % 3


def test_the_remainder_of_integers_is_not_negative(tmp_path):
    program = capture(Remainder(), (TensorSpec("x", size=(16, 16)),), Y, (16, 16))
    export_executorch(program, tmp_path / "net.pte")
    engine = ExecutorchEngine(Spec())
    engine.load(tmp_path / "net.pte")
    x = torch.rand(1, 3, 16, 16)
    np.testing.assert_allclose(engine.run({"x": x.numpy()})["y"], Remainder()(x), atol=1e-6)
