"""Tests that a target refuses what it cannot express, naming the operator and the user's line."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.errors import ExportError
from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.export.litert_export import export_litert
from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.program.capture import capture

CASES = [
    (export_onnx, torch.special.bessel_j0, "bessel_j0"),
    (export_onnx, torch.erfinv, "erfinv"),
    (export_coreml, torch.erfinv, "erfinv"),
    (export_executorch, torch.sort, "sort"),
    (export_executorch, torch.special.bessel_j0, "bessel_j0"),
    pytest.param(export_litert, torch.erfinv, "erfinv", marks=pytest.mark.slow, id="litert"),
]


class Exotic(torch.nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.operator = operator

    def forward(self, x):
        y = self.operator(self.convolution(x))
        return x + (y if isinstance(y, torch.Tensor) else y[0])


@pytest.mark.parametrize(
    ("exporter", "operator", "name"), CASES, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_the_operator_and_the_line_are_named(exporter, operator, name, tensors, tmp_path):
    program = capture(Exotic(operator), *tensors, (64, 64))
    with pytest.raises(ExportError, match=rf"{name}\S* at test_unsupported.py:\d+") as caught:
        exporter(program, tmp_path / "artefact")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
