"""Tests that reconstruction restores the results of a pruned network's layers where it can."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgeexpo.pruning.prune import prune_module
from edgeexpo.pruning.reconstruction import ASIDE, reconstruct


def pictures(count=8, side=16):
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(1, 3, side, side, generator=generator),) for _ in range(count)]


def error(narrowed, whole):
    with torch.no_grad():
        return sum(float((narrowed(*p) - whole(*p)).square().mean()) for p in pictures(4))


def first():
    """Return a layer of 16 channels of which half suffice: the last 8 are twice the first 8."""
    layer = nn.Conv2d(3, 16, 3, padding=1)
    with torch.no_grad():
        layer.weight[8:], layer.bias[8:] = 2 * layer.weight[:8], 2 * layer.bias[:8]
    return layer


def reader(kind):
    """Return a layer of the given kind that reads 16 channels and makes 3."""
    return {
        "conv": lambda: nn.Conv2d(16, 3, 3, padding=1),
        "dilated": lambda: nn.Conv2d(16, 3, 3, padding=2, dilation=2, bias=False),
        "transposed": lambda: nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1),
        "normalised": lambda: nn.Sequential(nn.Conv2d(16, 3, 1, bias=False), nn.BatchNorm2d(3)),
        "linear": lambda: nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3), nn.Unflatten(1, (3, 1, 1))
        ),
    }[kind]()


@pytest.mark.parametrize("kind", ["conv", "dilated", "transposed", "normalised", "linear"])
def test_what_repeats_itself_is_found_again(kind):
    torch.manual_seed(1)
    whole = nn.Sequential(first(), nn.ReLU(), reader(kind)).eval()
    result = prune_module(whole, pictures()[0], ratio=None, layers={"0": 0.5})
    assert result.widths["0"] == (16, 8)
    before = error(result.module, whole)
    gains = reconstruct(result.module, whole, result.kept, pictures())
    assert error(result.module, whole) < 1e-4 * before
    assert gains["0"] > 0.99  # this layer reads the picture, so there is nothing to restore
    assert min(gains.values()) < 1e-3


class Shared(nn.Module):
    """A network that calls one layer twice and another layer with the same weight."""

    def __init__(self):
        super().__init__()
        self.start, self.twice, self.end = first(), nn.Conv2d(16, 16, 1), nn.Conv2d(32, 3, 1)
        self.tied = nn.Conv2d(16, 16, 1)
        self.tied.weight = self.twice.weight

    def forward(self, x):
        x = torch.relu(self.start(x))
        return self.end(torch.cat([self.tied(torch.relu(self.twice(x))), self.twice(x)], dim=1))


def test_layers_that_share_come_nearer_and_stay_shared():
    torch.manual_seed(2)
    whole = Shared().eval()
    result = prune_module(whole, pictures()[0], ratio=0.5)
    before = error(result.module, whole)
    gains = reconstruct(result.module, whole, result.kept, pictures())
    assert error(result.module, whole) < 0.5 * before
    assert all(share <= 1 for share in gains.values())
    assert result.module.tied.weight is result.module.twice.weight


def test_weights_that_are_computed_are_left_alone():
    torch.manual_seed(3)
    made = nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 3, 1))
    whole = nn.Sequential(first(), nn.ReLU(), made).eval()
    narrowed = copy.deepcopy(whole)
    assert list(reconstruct(narrowed, whole, {}, pictures())) == ["0"]
    assert torch.equal(narrowed[2].weight, whole[2].weight)


def test_nothing_is_changed_that_gets_worse_on_pictures_kept_aside():
    torch.manual_seed(4)
    whole = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3)).eval()
    result = prune_module(whole, pictures()[0], ratio=None, layers={"0": 0.5})
    aside = pictures(1, side=6)
    black = [(torch.zeros(1, 3, 6, 6),)] * (ASIDE - 1)
    before = copy.deepcopy(result.module.state_dict())
    gains = reconstruct(result.module, whole, result.kept, aside + black)
    assert all(gain == 1 for gain in gains.values())
    torch.testing.assert_close(result.module.state_dict(), before, rtol=0, atol=0)
    assert reconstruct(result.module, whole, result.kept, aside + pictures())["2"] < 0.9
