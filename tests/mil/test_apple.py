"""Tests of the interpreter against Apple's runtime, on macOS only."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.coreml import CoremlEngine
from edgeexpo.spec import ModelSpec, TensorSpec

pytestmark = pytest.mark.skipif(
    sys.platform != "darwin", reason="Apple's Core ML runtime is on macOS only"
)

SIDE = 64
LEAST = {"fp32": 100.0, "fp16": 60.0, "int8": 45.0}
"""Least PSNR in dB by precision.

In fp32 the order of sums differs. In fp16 a runtime may or may not round between operators. In INT8
a sum near the middle of two codes may round either way.
"""


def psnr(first, second):
    return -10 * np.log10(float(np.square(first - second).mean()) + 1e-12)


class Mixed(nn.Module):
    """A network with strides, a transposed convolution, pooling, resizing, norms and attention."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(16)
        self.up = nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1)
        self.last = nn.Conv2d(16, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        y = self.norm(torch.relu(self.down(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        small = nn.functional.avg_pool2d(y, 2, 2)
        y = y + nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
        y = y * torch.sigmoid(y.mean((2, 3), keepdim=True))
        return torch.sigmoid(self.last(nn.functional.gelu(self.up(y))))


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    return capture(Mixed().eval(), (TensorSpec("x"),), (TensorSpec("y"),), (SIDE, SIDE), 4)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((3, SIDE, SIDE, 3), dtype=np.float32)


@pytest.mark.parametrize("precision", LEAST)
def test_apple_runs_what_is_interpreted(program, pictures, precision, tmp_path):
    lowered = {
        "fp32": lambda: program,
        "fp16": lambda: half(program),
        "int8": lambda: quantize_program(program, ({"x": picture} for picture in pictures)),
    }[precision]()
    path = tmp_path / "net.mlpackage"
    export_coreml(lowered, path)
    spec = ModelSpec(
        name="mixed",
        task="image to image",
        frames=("x",),
        inputs=(TensorSpec("x"),),
        outputs=(TensorSpec("y"),),
        halo=None,
        multiple=4,
    )
    engines = [MilEngine(spec), CoremlEngine(spec)]
    for engine in engines:
        engine.load(path)
    for picture in pictures:
        x = {"x": np.ascontiguousarray(picture.transpose(2, 0, 1)[None])}
        found = [engine.run(x)["y"] for engine in engines]
        assert psnr(*found) >= LEAST[precision]
