"""Tests that INT8 leaves in float what no engine computes on integers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeexpo.program.capture import capture
from edgeexpo.quantization.quantizer import left_in_float
from edgeexpo.spec import TensorSpec


class Convolved(nn.Module):
    """A network whose second convolution has a computed or a constant kernel."""

    def __init__(self, computed):
        super().__init__()
        self.computed, self.first, self.last = computed, nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
        self.kernel = nn.Parameter(torch.rand(4, 4, 1, 1))

    def forward(self, x):
        factor = x.mean() if self.computed else 2.0
        return x + self.last(F.conv2d(self.first(x), self.kernel * factor))


class Pooled(nn.Module):
    """A network that pools, and unpools by the places or by a resize."""

    def __init__(self, places):
        super().__init__()
        self.places, self.first, self.last = places, nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        y, places = F.max_pool2d(self.first(x), 2, return_indices=True)
        if self.places:
            return x + self.last(F.max_unpool2d(y, places, 2))
        return x + self.last(F.interpolate(y, scale_factor=2.0))


@pytest.mark.parametrize(
    ("network", "rules"),
    [
        (Convolved(computed=True), {"conv2d_1": "computed weight"}),
        (Convolved(computed=False), {}),
        (Pooled(places=True), {"conv2d": "chooses places"}),
        (Pooled(places=False), {}),
    ],
    ids=["computed weight", "constant weight", "places", "values"],
)
def test_the_rule_names_the_convolution(network, rules):
    program = capture(network.eval(), (TensorSpec("x"),), (TensorSpec("y"),), (32, 32), multiple=2)
    left = left_in_float(program.exported.module())
    assert {n.name: rule for n, rule in left.items() if "conv" in n.name} == rules


class Chosen(nn.Module):
    """A network whose features choose the gain of the picture, or work on it as well."""

    def __init__(self, local):
        super().__init__()
        self.local = nn.Conv2d(3, 3, 1) if local else nn.Identity()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        features = F.relu(self.second(F.relu(self.first(x))))
        return self.local(x) * torch.sigmoid(self.head(F.adaptive_avg_pool2d(features, 1)))


@pytest.mark.parametrize("local", [False, True], ids=["nothing else", "the picture too"])
def test_features_that_only_choose_a_vector_are_integer_where_nothing_else_could_be(local):
    program = capture(Chosen(local).eval(), (TensorSpec("x"),), (TensorSpec("y"),), (32, 32))
    left = left_in_float(program.exported.module())
    once = [n.name for n, rule in left.items() if "conv" in n.name and rule == "computed once"]
    assert len(once) == (3 if local else 1)
    assert len([n for n in left if "conv" in n.name]) == len(once)
