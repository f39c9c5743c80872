"""Tests that capture's rewrites for converters keep the meaning, and that the result converts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.export.coreml_operators import coreml_form
from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


def targets(program):
    graph = program.exported.graph
    return [str(node.target) for node in graph.nodes if node.op == "call_function"]


class Contracted(nn.Module):
    """A product with a constant colour matrix, then with one computed from the picture."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis
        self.matrix = nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        axes = ([-1], [self.axis])
        pixels = torch.tensordot(x.permute(0, 2, 3, 1), self.matrix, dims=axes)
        computed = self.matrix * x.mean()
        return torch.tensordot(pixels, computed, dims=axes).permute(0, 3, 1, 2)


@pytest.mark.parametrize("axis", [0, -1])
def test_contractions_become_matrix_products(axis):
    network = Contracted(axis).eval()
    program = capture(network, X, Y, (32, 32))
    assert "aten.tensordot.default" not in targets(program)
    assert {"aten.linear.default", "aten.bmm.default"} <= set(targets(program))
    x = torch.rand(1, 3, 17, 24)
    torch.testing.assert_close(program.exported.module()(x), network(x))


def test_contractions_of_several_axes_stay():
    class Several(nn.Module):
        def forward(self, x):
            return torch.tensordot(x, x.transpose(1, 3), dims=([1, 3], [3, 1]))

    assert "aten.tensordot.default" in targets(capture(Several(), X, Y, (32, 32)))


class Bounded(nn.Module):
    def forward(self, x):
        return x.clamp(1e-4, 1).clamp(0, 2)


def test_bounds_of_two_types_become_real():
    program = capture(Bounded(), X, Y, (32, 32))
    bounds = [n.args[1:] for n in program.exported.graph.nodes if "clamp" in str(n.target)]
    assert bounds == [(1e-4, 1.0), (0, 2)]
    assert isinstance(bounds[0][1], float)


def test_torch_still_cannot_express_bounds_of_two_types(tmp_path):
    """Show why ``real_bounds`` is needed. When this test fails, it can go."""
    exported = torch.export.export(Bounded(), (torch.rand(1, 3, 32, 32),))
    with pytest.raises(torch.onnx.OnnxExporterError):
        torch.onnx.export(exported, (torch.rand(1, 3, 32, 32),), dynamo=True, verbose=False)
    export_onnx(capture(Bounded(), X, Y, (32, 32)), tmp_path / "bounded.onnx")


def test_operators_without_a_converter_are_decomposed():
    class Rare(nn.Module):
        def forward(self, x):
            return nn.functional.gelu(torch.tensordot(x, x, dims=([3], [3]))[:, :, 0])

    exported = torch.export.export(Rare(), (torch.rand(1, 3, 32, 32),))
    found = {str(node.target) for node in coreml_form(exported).graph.nodes}
    assert "aten.tensordot.default" not in found
    assert "aten.gelu.default" in found
