"""Tests of the count of what saturates in a quantised program."""

from __future__ import annotations

import pytest
import torch
import torch.ao.quantization.fx._decomposed
from torch import nn
from torch.fx import symbolic_trace

from edgeexpo.parity.saturation import Saturation, saturation_line, worst_by_layer
from edgeexpo.parity.saturation_count import SaturationCount

GRID = (0.01, 0, -128, 127, torch.int8)


class Rounded(nn.Module):
    """Twice a picture, in codes that reach 1.27."""

    def forward(self, x):
        decomposed = torch.ops.quantized_decomposed
        doubled = x * 2
        codes = decomposed.quantize_per_tensor.default(doubled, *GRID)
        return decomposed.dequantize_per_tensor.default(codes, *GRID)


@pytest.fixture
def counted():
    count = SaturationCount()
    return count, count.execution(symbolic_trace(Rounded()))


def test_values_beyond_the_range_are_counted(counted):
    count, run = counted
    x = torch.zeros(1, 1, 10, 10)
    x[..., :3] = 1.27
    run(x)
    (found,) = count.take("wood")
    assert (found.layer, found.picture) == ("mul", "wood")
    assert found.share == pytest.approx(0.3)
    assert found.reach == pytest.approx(2.0)


def test_the_worst_tile_of_a_picture_counts(counted):
    count, run = counted
    run(torch.full((1, 1, 2, 2), 0.1))
    run(torch.full((1, 1, 2, 2), -0.96))
    run(torch.tensor([0.1, 0.9]).reshape(1, 1, 1, 2))
    (found,) = count.take("wood")
    assert found.share == 1.0
    assert found.reach == pytest.approx(1.5)


def test_pictures_are_counted_apart(counted):
    count, run = counted
    run(torch.ones(1, 1, 2, 2))
    assert count.take("first") != ()
    run(torch.full((1, 1, 2, 2), 0.6))
    assert count.take("second") == ()


def test_counting_changes_no_result(counted):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(counted[1](x), Rounded()(x))


def test_the_line_names_layers_pictures_and_lines_of_code():
    found = worst_by_layer(
        [
            Saturation("conv2d_4", "cat", 0.002, 1.2),
            Saturation("conv2d_4", "wood", 0.04, 2.71),
            Saturation("relu", "wood", 0.0005, 1.5),
        ]
    )
    assert saturation_line(found, {"conv2d_4": "net.py:7"}) == (
        "INT8 saturates in conv2d_4 at net.py:7 (4.0% of its values in wood, up to 2.7 times the "
        "range)"
    )
    assert saturation_line(found[1:], {}) == ""
