"""Tests that bias correction cancels a shift of the mean, whatever its cause."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.quantization.bias_correction import correct_bias
from edgeexpo.quantization.layerwise import adapt
from tests.support.rounded_layers import correlated, rounded


def chain(bias=True):
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(3, 8, 3, bias=bias), torch.nn.Conv2d(8, 3, 1)
    return torch.nn.Sequential(first, torch.nn.ReLU(), last).requires_grad_(False), [first, last]


def tint(graph, network, inputs):
    """Return the largest mean error of an output channel."""
    with torch.no_grad():
        errors = [(graph(*x) - network(*x)).mean((0, 2, 3)) for x in inputs]
    return float(torch.stack(errors).mean(0).abs().max())


def planted(change):
    """Return a step that applies ``change`` to the first layer it is called with."""
    met = []

    def step(layer):
        met.append(layer)
        if len(met) == 1:
            change(layer)

    return step


@pytest.mark.parametrize(
    "change", [lambda layer: layer.bias.add_(0.3), lambda layer: layer.weight.mul_(0.8)]
)
def test_a_planted_shift_is_taken_back(change):
    network, layers = chain()
    inputs = correlated(4, 3)
    shifted, corrected = rounded(layers), rounded(layers)
    adapt(shifted, inputs, [planted(change)])
    adapt(corrected, inputs, [planted(change), correct_bias])
    assert tint(shifted, network, inputs) > 5e-3
    assert tint(corrected, network, inputs) < 1e-5


def test_a_layer_without_bias_stays_and_the_next_one_pays():
    network, layers = chain(bias=False)
    graph, inputs = rounded(layers), correlated(4, 3)
    before = {n: p.detach().clone() for n, p in graph.named_parameters()}
    assert tint(graph, network, inputs) > 1e-5
    adapt(graph, inputs, [correct_bias])
    changed = [n for n, p in graph.named_parameters() if not torch.equal(p, before[n])]
    assert changed == ["bias1"]
    assert tint(graph, network, inputs) < 1e-5
