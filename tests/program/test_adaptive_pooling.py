"""Tests that averages over a grid are right at every size, whatever size was traced."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)
SIZES = ((16, 16), (18, 20), (17, 31), (64, 61))


def pooled(cells):
    return nn.AdaptiveAvgPool2d(cells).eval()


def has_pooling(program):
    return any("adaptive" in str(n.target) for n in program.exported.graph.nodes)


@pytest.mark.parametrize("cells", [2, 3, 6, (1, 5), (7, 1)])
def test_a_grid_averages_the_same_pixels_at_every_size(cells):
    program = capture(pooled(cells), X, Y, (64, 64))
    assert program.dynamic
    assert not has_pooling(program)
    for height, width in SIZES:
        x = torch.rand(1, 3, height, width)
        found = program.exported.module(check_guards=False)(x)
        torch.testing.assert_close(found, pooled(cells)(x))


@pytest.mark.parametrize("cells", [1, (1, 1), (None, 1)])
def test_a_grid_of_one_cell_stays(cells):
    assert has_pooling(capture(pooled(cells), X, Y, (64, 64)))


def test_a_fixed_size_stays():
    program = capture(pooled(3), (TensorSpec("x", size=(32, 48)),), Y, (32, 48))
    assert has_pooling(program)


def test_the_onnx_file_averages_at_every_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export_onnx(capture(pooled(3), X, Y, (64, 64)), tmp_path / "pooled.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pooled.onnx")
    for height, width in SIZES:
        x = torch.rand(1, 3, height, width)
        (found,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), pooled(3)(x))
