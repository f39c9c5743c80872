from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.errors import UsageError
from edgeexpo.models.foreign import Shown, describe_module, laid_out_plainly
from edgeexpo.models.full_size import full_size_stage
from edgeexpo.spec import StageSpec

SIZE = (64, 64)


class Net(nn.Module):
    """A convolution from ``channels`` to ``outputs``, enlarged by ``factor``."""

    def __init__(self, channels=3, outputs=3, factor=1, dtype=torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(channels, outputs, 3, padding=1)
        self.factor, self.dtype = factor, dtype

    def forward(self, x):
        y = torch.sigmoid(self.layer(x))
        if self.factor > 1:
            y = nn.functional.interpolate(y, scale_factor=self.factor)
        return y if self.dtype == torch.float32 else (255 * y).round().to(self.dtype)


def described(module, shown=Shown()):  # noqa: B008 - a frozen value
    channels = module.layer.in_channels
    return describe_module(module.eval(), "net", [(None, (1, channels, *SIZE))], shown)[0]


@pytest.mark.parametrize(
    ("channels", "outputs", "front", "back", "color"),
    [
        (3, 3, None, None, "RGB"),
        (1, 1, StageSpec("channels", {"channels": [1]}), StageSpec("chroma"), "Y"),
        (4, 3, StageSpec("channels", {"channels": [4]}), None, "RGB"),
        (3, 5, None, None, "none"),
    ],
)
def test_stages_follow_the_channels(channels, outputs, front, back, color):
    spec = described(Net(channels, outputs))
    assert (spec.front, spec.back, spec.outputs[0].color) == (front, back, color)


def test_other_channels_are_refused():
    with pytest.raises(UsageError, match="input 'x' has 6 channels; expected 3"):
        described(Net(6))


def test_the_scale_is_kept():
    assert described(Net(factor=2)).outputs[0].scale == 2


def test_integers_become_codes_in_float():
    module = Net(dtype=torch.uint8).eval()
    assert described(module).outputs[0].value_range == (0, 255)
    assert module(torch.rand(1, 3, *SIZE)).dtype == torch.float32


def test_the_users_range_counts():
    shown = Shown(values=(-1, 1))
    assert described(Net(), shown).outputs[0].value_range == (-1, 1)


def test_a_tone_network_is_applied_at_full_size():
    spec = described(Net(), Shown(at_full_size="guided"))
    assert (spec.back, spec.halo, spec.longest) == (full_size_stage("guided", 1), None, 64)


@pytest.mark.parametrize("module", [Net(factor=2), Net(1, 1), Net(4)])
def test_full_size_needs_rgb_of_the_same_size(module):
    with pytest.raises(UsageError, match="`apply_at_full_size` needs a network that turns RGB"):
        described(module, Shown(at_full_size="guided"))


def test_weights_are_laid_out_in_the_order_of_their_axes():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2)).to(
        memory_format=torch.channels_last
    )
    values = [value.clone() for value in network.state_dict().values()]
    assert laid_out_plainly(network) is network
    assert all(value.is_contiguous() for value in network.state_dict().values())
    assert all(map(torch.equal, network.state_dict().values(), values))
