from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeexpo.errors import ModuleError
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


class Coordinates(nn.Module):
    def forward(self, x):
        return x * torch.linspace(0, 1, x.shape[3], dtype=x.dtype)


class Wrapped(nn.Module):
    def forward(self, x):
        return nn.functional.pad(x, (1, 1, 1, 1), mode="circular")[..., 2:, 2:]


class Stretched(nn.Module):
    """Sampled at positions that depend on the whole size, as by align_corners."""

    def forward(self, x):
        small = nn.functional.avg_pool2d(x, 2)
        return nn.functional.interpolate(
            small, size=x.shape[2:], mode="bilinear", align_corners=True
        )


class OneSize(nn.Module):
    def forward(self, x):
        return x + torch.zeros(1, 3, 96, 96, dtype=x.dtype)


@pytest.mark.parametrize("module", [Global(), Coordinates(), Wrapped(), Stretched(), OneSize()])
def test_networks_that_no_tile_reproduces_have_no_halo(module):
    assert measure_footprint(module, X, (96, 96)).halo is None


class Rounded(nn.Module):
    """The gradient of a rounded picture is zero, although the picture counts."""

    def forward(self, x):
        return nn.functional.avg_pool2d(torch.round(x * 255), 5, 1, 2) / 255


def test_rounding_hides_nothing():
    assert measure_footprint(Rounded(), X, (96, 96)).halo == 2


class Skip(nn.Module):
    """A U-Net of one level whose decoder asks for the size of the skip."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Conv2d(3, 3, 3, padding=1)
        self.mode = mode

    def forward(self, x):
        small = self.inner(nn.functional.max_pool2d(x, 2))
        return x + nn.functional.interpolate(small, size=x.shape[2:], mode=self.mode)


def test_pictures_off_the_grid_are_whole_or_cut_as_the_network_allows():
    footprint = measure_footprint(Skip("nearest"), X, (96, 96))
    # At odd sizes, the factor of the enlargement depends on the whole size.
    assert (footprint.multiple, footprint.grid, footprint.ragged) == (1, 2, False)
    assert footprint.halo == 2


class Padded(nn.Module):
    """It pads its picture to its own grid and crops the result."""

    def forward(self, x):
        height, width = x.shape[2:]
        full = nn.functional.pad(x, (0, -width % 4, 0, -height % 4))
        small = nn.functional.avg_pool2d(full, 4)
        return nn.functional.interpolate(small, scale_factor=4)[..., :height, :width]


def test_a_network_that_pads_inside_is_cut_at_any_size():
    footprint = measure_footprint(Padded(), X, (96, 96))
    assert (footprint.multiple, footprint.grid, footprint.ragged) == (1, 4, True)


class Unshuffled(nn.Module):
    def forward(self, x):
        return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(x, 4), 4)


class Cropped(nn.Module):
    """It loses the rows and columns off its grid."""

    def forward(self, x):
        small = nn.functional.avg_pool2d(x, 4)
        return nn.functional.interpolate(small, scale_factor=4)


def test_only_sizes_that_the_network_refuses_are_extended():
    assert measure_footprint(Unshuffled(), X, (96, 96)).extends
    cropped = measure_footprint(Cropped(), X, (96, 96))
    assert (cropped.multiple, cropped.extends) == (4, False)


@pytest.mark.parametrize("factor", [Fraction(2), Fraction(3), Fraction(1, 2), Fraction(1, 4)])
def test_the_scale_of_the_output_is_found(factor):
    class Scaled(nn.Module):
        def forward(self, x):
            return nn.functional.interpolate(x, scale_factor=float(factor))

    footprint = measure_footprint(Scaled(), X, (96, 96))
    assert footprint.scale == factor
    assert footprint.halo is not None
    assert footprint.multiple == factor.denominator


@pytest.mark.parametrize("size", [(1, 1), (96, 48), (60, 60)])
def test_an_output_of_an_odd_size_is_no_picture(size):
    class Other(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_avg_pool2d(x, size)

    with pytest.raises(ModuleError, match=r"returned a picture of .* for one of 96x96"):
        measure_footprint(Other(), X, (96, 96))
