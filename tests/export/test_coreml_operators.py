"""Tests that fp16 normalisations convert to Core ML and compute there what torch computes."""

from __future__ import annotations

import gc
import importlib

import numpy as np
import pytest
import torch
from torch import nn

from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.spec import TensorSpec


class Normalised(nn.Module):
    """A normalisation between two convolutions, over the last axis or over the channels."""

    def __init__(self, norm: nn.Module, last: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.norm, self.last = norm, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.a(x)
        if self.last:
            return self.b(self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return self.b(self.norm(features))


@pytest.mark.parametrize(
    ("norm", "last"),
    [
        (nn.LayerNorm(8), True),
        (nn.GroupNorm(2, 8), False),
        (nn.InstanceNorm2d(8, affine=True), False),
    ],
    ids=["layer", "group", "instance"],
)
def test_a_normalisation_in_half_precision(norm, last, tmp_path):
    torch.manual_seed(0)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    net = Normalised(norm, last).eval()
    program = capture(net, (TensorSpec("x"),), (TensorSpec("y"),), (64, 64))
    export_coreml(half(program), tmp_path / "net.mlpackage")
    engine = MilEngine()
    engine.load(tmp_path / "net.mlpackage")
    x = torch.rand(1, 3, 64, 64)
    found = engine.run({"x": x.numpy()})["y"]
    with torch.no_grad():
        expected = net(x).numpy()
    assert np.abs(found - expected).max() < 1e-2
    assert np.abs(found - expected).std() < 2e-3 * expected.std()


def test_a_conversion_asks_for_no_collection_of_garbage(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(gc, "collect", lambda *_: asked.append(1))
    specs = (TensorSpec("x", size=(16, 16)),), (TensorSpec("y"),)
    export_coreml(capture(nn.Conv2d(3, 3, 1), *specs, (16, 16)), tmp_path / "net.mlpackage")
    assert not asked
    assert importlib.import_module("coremltools.converters._converters_entry").gc is gc
