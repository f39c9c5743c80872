"""Tests of operators that Core ML's converter refuses or gets wrong, run from the saved package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.spec import TensorSpec

CHANGES = {
    "integer first": lambda x: torch.where(x > 0, 0, x),
    "integer second": lambda x: torch.where(x > 0, x, 1),
    "two integers": lambda x: x + torch.where(x > 0, 1, 0),
    "threshold": nn.Threshold(0, 1),
    "softshrink and hardshrink": lambda x: (
        nn.functional.softshrink(x, 0.1) + nn.functional.hardshrink(x, 0.1)
    ),
    "integer limits": nn.Hardtanh(-1, 1),
    "clamp at least": lambda x: torch.clamp_min(x, 0) + torch.clamp_max(x, 1),
    "crossing bounds": lambda x: torch.clamp(x, x.mean() + 0.1, x.mean() - 0.1),
    "lower bound": lambda x: torch.clamp(x, min=x.mean((2, 3), keepdim=True)),
    "several upper bounds": lambda x: x.clamp(max=torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)),
    "clamped indices": lambda x: x[:, :, (torch.arange(x.shape[2]) - 2).clamp(min=0)],
    "towards zero": lambda x: torch.trunc(2 * x) + torch.fmod(x, 0.3) + torch.frac(x),
    "remainder by one": lambda x: torch.remainder(3 * x, 1),
    "whole quotient by one": lambda x: torch.div(3 * x, 1, rounding_mode="floor"),
    "whole quotient of integers": lambda x: x[:, :, torch.arange(x.shape[2]) // 2],
    "interpolated": lambda x: torch.lerp(x, x * x, 0.3) + torch.lerp(x, x * x, x),
    "larger and smaller": lambda x: torch.fmax(x, -x) + torch.fmin(x, x * x),
    "made finite": lambda x: torch.nan_to_num(x / (x > 0), posinf=2.0, neginf=-2.0),
    "root mean square": lambda x: nn.functional.rms_norm(0.1 * x, x.shape[2:], eps=1e-2),
    "root mean square of the last": lambda x: nn.functional.rms_norm(
        x, (24,), torch.arange(24) / 24
    ),
    "buckets": lambda x: x + torch.bucketize(x, torch.tensor([-0.2, 0.0, 0.2])),
}


class Changed(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(2 * x - 1)


def converted(program, folder, x):
    export_coreml(program, folder / "net.mlpackage")
    engine = MilEngine()
    engine.load(folder / "net.mlpackage")
    return engine.run({"x": x.numpy()})["y"]


def captured(network):
    return capture(network, (TensorSpec("x", size=(16, 24)),), (TensorSpec("y"),), (16, 24))


@pytest.mark.parametrize("name", CHANGES)
def test_an_operator_gives_what_torch_gives(name, tmp_path):
    network = Changed(CHANGES[name]).eval()
    x = torch.rand(1, 3, 16, 24)
    found = converted(captured(network), tmp_path, x)
    np.testing.assert_allclose(found, network(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["integer first", "threshold", "integer limits", "crossing bounds"]
)
def test_an_operator_takes_half_precision(name, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), Changed(CHANGES[name]), nn.Conv2d(3, 3, 1)).eval()
    x = torch.rand(1, 3, 16, 24)
    found = converted(half(captured(network)), tmp_path, x)
    with torch.no_grad():
        wrong = np.abs(found - network(x).numpy()) > 1e-2
    assert wrong.mean() < 0.02
