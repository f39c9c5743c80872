"""Tests that adaptive rounding beats rounding to nearest, and moves no weight by a whole code."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.quantization.layerwise import adapt
from edgeexpo.quantization.rounding import AdaptiveRounding, Schedule
from edgeexpo.quantization.simulation import roundings, weight_codes
from tests.support.rounded_layers import correlated, rounded

LAYERS = {
    "dilated": lambda: torch.nn.Conv2d(8, 8, 3, padding=2, dilation=2),
    "strided, without bias": lambda: torch.nn.Conv2d(8, 8, 3, 2, 1, bias=False),
    "transposed": lambda: torch.nn.ConvTranspose2d(8, 8, 4, 2, 1),
    "grouped": lambda: torch.nn.Conv2d(8, 8, 3, padding=1, groups=2),
}


def chain(kind):
    """Return a network, and its two layers.

    The first layer has one outlier in each channel, which leaves few codes to the other weights.
    """
    torch.manual_seed(0)
    first, last = LAYERS[kind](), torch.nn.Conv2d(8, 3, 1)
    axis = 1 if kind == "transposed" else 0
    with torch.no_grad():
        first.weight.transpose(0, axis)[:, 0, 0, 0] = 10 * first.weight.abs().max()
    return torch.nn.Sequential(first, torch.nn.ReLU(), last).requires_grad_(False), [first, last]


def codes(graph):
    """Return tensor name -> float codes (weight divided by scale) of every rounded weight."""
    weights, found = dict(graph.named_parameters()), {}
    for name, rounding in roundings(graph).items():
        scale, _ = weight_codes(rounding.observer, weights[name])
        shape = [1] * weights[name].dim()
        shape[rounding.observer.ch_axis] = -1
        found[name] = weights[name] / scale.reshape(shape)
    return found


def error(graph, wanted, inputs):
    with torch.no_grad():
        return sum(float((graph(*x) - wanted(*x)).square().mean()) for x in inputs)


@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_come_nearer_and_codes_stay_beside_the_float_ones(kind):
    network, layers = chain(kind)
    graph, inputs = rounded(layers), correlated(5, 8)
    before, nearest = codes(graph), error(graph, network, inputs)
    adapt(graph, inputs, [AdaptiveRounding()])
    after = codes(graph)
    assert before.keys() == after.keys() == {"weight0", "weight1"}
    for name in before:
        torch.testing.assert_close(after[name], after[name].round(), atol=1e-3, rtol=0)
        assert ((after[name] - before[name]).abs() < 1 + 1e-3).all(), name
        assert after[name].abs().max() <= 127 + 1e-3
    assert (after["weight0"].round() != before["weight0"].round()).any()
    assert error(graph, network, inputs) < 0.7 * nearest


def test_it_is_the_same_again():
    made = []
    for _ in range(2):
        graph = rounded(chain("dilated")[1])
        adapt(graph, correlated(3, 8), [AdaptiveRounding(3, Schedule(iterations=10))])
        made.append([p.detach().clone() for p in graph.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


def test_a_layer_that_gets_worse_keeps_the_nearest_codes(monkeypatch):
    def all_up(self, layer, choice, pictures):
        return choice.between(torch.ones_like(layer.weight))

    monkeypatch.setattr(AdaptiveRounding, "_learn", all_up)
    graph, inputs = rounded(chain("dilated")[1]), correlated(5, 8)
    before = {name: code.round() for name, code in codes(graph).items()}
    adapt(graph, inputs, [AdaptiveRounding()])
    after = codes(graph)
    assert all(torch.equal(after[name].round(), before[name]) for name in before)


def test_pictures_may_differ_in_size():
    graph = rounded(chain("dilated")[1])
    inputs = [*correlated(1, 8), *correlated(1, 8, 9, 40)]
    adapt(graph, inputs, [AdaptiveRounding(0, Schedule(iterations=4))])
    assert all(torch.isfinite(p).all() for p in graph.parameters())
