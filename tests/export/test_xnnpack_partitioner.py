"""Tests that XNNPACK gets exactly the ELUs that it computes correctly."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.inspection.census import executorch_census
from edgeexpo.models.layers import Selu
from edgeexpo.program.capture import capture

ELUS = {
    "alpha": (lambda x: F.elu(x, alpha=1.67), 0),
    "of the zoo": (Selu(), 0),
    "scaled": (F.selu, 1),
}
"""ELUs by name: (activation, number of portable kernels that it becomes)."""


@pytest.mark.parametrize("name", ELUS)
def test_elu(name, tensors, tmp_path):
    from executorch.runtime import Runtime

    activation, portable = ELUS[name]

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, y0):
            return activation(self.conv(y0))

    path = tmp_path / "net.pte"
    program = capture(Net().eval(), *tensors, (32, 32))
    export_executorch(program, path)
    assert executorch_census(path).portable.get("aten::elu", 0) == portable
    x = torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    (found,) = Runtime.get().load_program(path).load_method("forward").execute([x])
    expected = program.exported.module()(x)
    assert expected.min() < -0.3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
