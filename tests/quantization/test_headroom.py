"""Tests that headroom widens ranges for fine checks, where needed and at most twofold."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.program.capture import capture
from edgeexpo.quantization import headroom, int8_weights, ptq
from edgeexpo.quantization.simulation import roundings
from edgeexpo.quantization.variants import Calibration, parse_variant


class Sharpening(torch.nn.Module):
    """A network that makes its picture from features alone.

    Its features are zero in flat areas and large at single pixels.
    """

    def __init__(self, gain):
        super().__init__()
        self.detail = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.out = torch.nn.Conv2d(8, 3, 3, padding=1)
        laplacian = torch.tensor([[0, -1, 0], [-1, 4.0, -1], [0, -1, 0]]) / 4
        with torch.no_grad():
            self.detail.weight.copy_(gain * laplacian.expand(8, 3, 3, 3))

    def forward(self, y0):
        return torch.sigmoid(self.out(torch.relu(self.detail(y0))))


def made(gain, tensors, pictures, name):
    program = capture(Sharpening(gain).eval(), *tensors, (96, 96))
    found = roundings(Calibration(program, pictures).make(parse_variant(name)))
    return {name: r.range for name, r in found.items() if not r.is_weight}


@pytest.mark.parametrize("gain", [0.5, 4.0])
def test_ranges_grow_where_detail_needs_it_and_at_most_double(gain, tensors, pictures):
    plain = made(gain, tensors, pictures, "unequalized")
    wide = made(gain, tensors, pictures, "unequalized+headroom")
    factors = {name: wide[name].scale / plain[name].scale for name in plain}
    assert all(1 <= factor <= headroom.MOST_HEADROOM + 1e-6 for factor in factors.values())
    assert all(wide[name].zero_point == plain[name].zero_point for name in plain)
    assert factors["y0"] < 1.2
    assert max(factors.values()) > 1.2


def test_the_names_of_variants_tell_it():
    variant = parse_variant("headroom+minmax+adaround")
    assert variant.name == "minmax+headroom+adaround"
    assert variant.ranges.name == "minmax+headroom"


class Skipping(torch.nn.Module):
    """A network that concatenates two features, so that both and the result share one range."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (torch.nn.Conv2d(n, 8, 3, padding=1) for n in (3, 8))
        self.last = torch.nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, y0):
        first = torch.relu(self.first(y0))
        return self.last(torch.cat([first, torch.relu(self.second(first))], dim=1))


def test_ranges_read_from_a_file_stay_shared_when_they_grow(tensors, pictures, tmp_path):
    torch.manual_seed(0)
    program = capture(Skipping().eval(), *tensors, (96, 96))
    path = tmp_path / "w.safetensors"
    int8_weights.write_int8_weights(
        path, Calibration(program, pictures).make(parse_variant("plain")), {}
    )
    graph = int8_weights.simulated_by(program, int8_weights.read_int8_weights(path))
    found = roundings(graph)
    (both,) = (name for name in found if name.startswith("cat"))
    headroom.widen(graph, ptq.tensors(program, pictures))
    assert sum(found[name] is found[both] for name in found) == 3
