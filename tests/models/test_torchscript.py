"""TorchScript modules become modules of operators, for any size of picture."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgeexpo.errors import ModuleError
from edgeexpo.models.torchscript import followed, is_torchscript


class Net(nn.Module):
    """Convolutions of both kinds, a normalisation, a resize to a computed size, two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=2)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, dark: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.up(self.norm(self.first(dark))))
        inner = functional.interpolate(inner, size=(dark.shape[2], dark.shape[3]), mode="bilinear")
        return torch.clamp(bright + 0.3 * self.last(inner), 0, 1)


class Loop(nn.Module):
    """A script with a loop whose length depends on the picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.mean() > 0.5):
            x = x * 0.5
        return x


@pytest.mark.parametrize("make", ["script", "trace"])
def test_the_operators_compute_what_the_script_does_at_any_size(make: str) -> None:
    torch.manual_seed(0)
    module = Net().eval()
    examples = [torch.rand(1, 3, 32, 32) for _ in range(2)]
    script = torch.jit.script(module) if make == "script" else torch.jit.trace(module, examples)
    assert is_torchscript(script)
    assert not is_torchscript(module)
    found = followed(script, examples)
    assert list(inspect.signature(found.forward).parameters) == ["dark", "bright"]
    other = [torch.rand(1, 3, 44, 58) for _ in range(2)]
    with torch.no_grad():
        assert torch.allclose(found(*other), module(*other), atol=1e-5)
    kinds = [str(n.target) for n in found.graph.nodes if "conv" in str(n.target)]
    assert kinds == ["aten.conv2d.default", "aten.conv_transpose2d.input", "aten.conv2d.default"]
    assert set(dict(found.named_parameters())) <= set(script.state_dict())


def test_a_script_with_a_loop_over_values_is_refused_with_the_way_out() -> None:
    script = torch.jit.script(Loop())
    with pytest.raises(ModuleError, match=r"cannot be converted \(.*\); export the Python module"):
        followed(script, [torch.rand(1, 3, 32, 32)])
