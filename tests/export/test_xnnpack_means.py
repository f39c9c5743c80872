"""Tests of means over whole pictures for XNNPACK."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.program.capture import capture
from edgeexpo.runtime.engines.executorch import ExecutorchEngine
from edgeexpo.spec import ModelSpec, TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)
SPEC = ModelSpec(name="net", task="test", frames=("x",), inputs=X, outputs=Y, halo=None)

ROUNDINGS = 1e-5
"""Relative error of a mean whose sums are short; a single sum of 256x256 values is 6e-4 off."""


class Gain(nn.Module):
    """A picture times its mean over all pixels."""

    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True)


def error(tmp_path, size, multiple=1, used=None):
    """Return the largest relative error of the artefact's mean of a flat picture."""
    used = used or size
    network = Gain()
    export_executorch(capture(network, X, Y, size, multiple), tmp_path / "net.pte")
    engine = ExecutorchEngine(SPEC)
    engine.load(tmp_path / "net.pte")
    x = torch.full((1, 3, *used), 0.7)
    found = torch.from_numpy(engine.run({"x": x.numpy()})["y"])
    return float((found / 0.7**2 - 1).abs().max())


@pytest.mark.parametrize("size", [(256, 256), (250, 350), (97, 19), (16, 16)])
def test_the_mean_of_a_flat_picture_is_its_value(tmp_path, size):
    assert error(tmp_path, size) < ROUNDINGS


@pytest.mark.parametrize(("multiple", "used"), [(16, (224, 176)), (1, (131, 250)), (2, (256, 18))])
def test_a_mean_is_exact_at_every_size_between_the_bounds(tmp_path, multiple, used):
    assert error(tmp_path, (256, 256), multiple, used) < ROUNDINGS
