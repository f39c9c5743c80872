"""Tests that the rewrites for Core ML's converter keep the meaning and leave what it takes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.export.coreml_operators import coreml_form
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec
from tests.support.networks import Operation

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


def masked(x):
    mask = (x > 0.8) | (x < 0.2) & ~(x > 0.1) ^ (x == 0)
    return x.masked_fill(mask, 0.5)


def unpooled(x):
    pooled, places = F.max_pool2d(x, 2, 2, return_indices=True)
    return F.max_unpool2d(pooled * 2, places, 2, 2, output_size=x.shape[2:])


def pooled_without_a_stride(x):
    """Torch's default stride is the window, which the program then leaves out."""
    alone = F.max_pool2d(x, 2)
    with_places, _ = F.max_pool2d(x, (2, 4), return_indices=True)
    return alone + F.interpolate(with_places, size=alone.shape[2:])


def windows(x):
    b, c, h, w = x.shape
    tiles = x.view(b, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)
    return (
        (tiles - tiles.mean(1, keepdim=True))
        .view(b, h // 8, w // 8, 8, 8, c)
        .permute(0, 5, 1, 3, 2, 4)
        .reshape(b, c, h, w)
    )


def transposed_windows(x):
    b, c, h, w = x.shape
    return (
        x.view(b, c, h // 4, 4, w // 4, 4).transpose(3, 4).contiguous().view(b, -1, h // 4, w // 4)
    )


def filtered(x):
    spectrum = torch.fft.rfft2(x)
    return torch.fft.irfft2(torch.complex(spectrum.real, spectrum.imag * 0), s=x.shape[2:])


def angles(x):
    """Angles of all quadrants, and of the axes between them."""
    y = 2 * x - 1
    signs = (y > 0.5).float() - (y < -0.5).float()  # without zeros of negative sign
    return torch.atan2(signs, signs.flip(3)) + torch.atan2(y, x)


OPERATIONS = [masked, unpooled, pooled_without_a_stride, windows, transposed_windows, angles]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_the_rewritten_program_computes_the_same(operation):
    network = Operation(operation)
    x = torch.rand(1, 3, 32, 24).mul(8).round().div(8)  # with equal neighbours
    exported = torch.export.export(network, (x,))
    rewritten = coreml_form(exported)
    assert all(n.meta["val"].dim() <= 5 for n in tensors(rewritten))
    torch.testing.assert_close(run(rewritten, x), network(x))


def tensors(exported):
    nodes = (n for n in exported.graph.nodes if n.op == "call_function")
    return [n for n in nodes if isinstance(n.meta.get("val"), torch.Tensor)]


def run(exported, x):
    return exported.module()(x)


@pytest.mark.parametrize(
    "operation",
    [masked, unpooled, pooled_without_a_stride, windows, filtered, angles],
    ids=lambda o: o.__name__,
)
def test_the_saved_package_computes_the_same(operation, tmp_path):
    network = Operation(operation)
    program = capture(network, X, Y, (32, 32), multiple=8)
    export_coreml(program, tmp_path / "net.mlpackage")
    engine = MilEngine()
    engine.load(tmp_path / "net.mlpackage")
    x = torch.rand(1, 3, 32, 32).mul(8).round().div(8)
    found = engine.run({"x": x.numpy()})["y"]
    torch.testing.assert_close(torch.from_numpy(found), network(x), rtol=1e-4, atol=1e-5)
