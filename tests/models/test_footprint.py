from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeexpo.models.footprint import measure_footprint
from edgeexpo.spec import TensorSpec

X = (TensorSpec("x"),)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 3)), min_size=1, max_size=4))
def test_plain_convolutions_have_the_radius_of_their_kernels(layers):
    torch.manual_seed(0)
    stack = [
        nn.Conv2d(3, 3, k, padding=d * (k // 2), dilation=d, padding_mode="zeros")
        for k, d in layers
    ]
    footprint = measure_footprint(nn.Sequential(*stack), X, (96, 96))
    assert footprint.halo == sum(d * (k // 2) for k, d in layers)
    assert footprint.multiple == 1


def test_a_strided_network_works_on_its_grid():
    torch.manual_seed(0)
    down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    up = nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)
    footprint = measure_footprint(nn.Sequential(down, nn.ReLU(), up), X, (96, 96))
    assert footprint.multiple == 2
    assert footprint.halo is not None
    assert footprint.halo % 2 == 0


class Global(nn.Module):
    def forward(self, x):
        return x - x.mean((2, 3), keepdim=True)


class Smaller(nn.Module):
    def forward(self, x):
        return x[..., ::2, ::2]


@pytest.mark.parametrize("module", [Global(), Smaller()])
def test_networks_that_no_crop_reproduces_have_no_halo(module):
    assert measure_footprint(module, X, (96, 96)).halo is None
