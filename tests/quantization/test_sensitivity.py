"""Tests of measured sensitivities, against programs that are quantised in that way."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from edgeexpo.errors import UsageError
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.program.capture import capture
from edgeexpo.quantization import ptq
from edgeexpo.quantization.sensitivity import (
    pruned_alone,
    quality,
    quantization_costs,
    quantized_operators,
)
from edgeexpo.quantization.simulation import observers, prepare_simulation, roundings, simulate


class Planted(nn.Module):
    """A network of five convolutions with one planted layer that quantises badly.

    The planted layer has large weights for an input channel that is always zero.
    """

    def __init__(self, planted: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        sides = [3, 8, 8, 8, 8, 3]
        pairs = itertools.pairwise(sides)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        with torch.no_grad():
            self.layers[planted - 1].bias[0] = -1e3
            self.layers[planted].weight[:, 0] *= 1e4

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        x = y0
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return torch.clamp(y0 + self.layers[-1](x), 0, 1)


def judge_of(module, inputs):
    with torch.no_grad():
        expected = [module(*x).numpy() for x in inputs]
    return lambda index, output: psnr(expected[index], output.numpy())


@pytest.fixture(scope="module")
def simulated(residual, tensors, pictures):
    program = capture(residual, *tensors, (96, 96))
    _, graph = ptq.calibrated(program, pictures)
    simulate(graph)
    return program, graph, ptq.tensors(program, pictures)


@pytest.mark.parametrize("planted", [1, 3])
def test_a_planted_layer_comes_out_first(planted, tensors, pictures):
    module = Planted(planted).eval()
    program = capture(module, *tensors, (96, 96))
    _, graph = ptq.calibrated(program, pictures)
    simulate(graph)
    inputs = ptq.tensors(program, pictures)
    chosen = quantized_operators(program, graph)
    found = quantization_costs(graph, chosen, inputs, judge_of(module, inputs))
    ranked = sorted(found, key=lambda row: row.alone.worst)
    assert ranked[0].operator.module == f"layers.{planted}"
    assert ranked[0].alone.worst < ranked[1].alone.worst - 6
    assert max(found, key=lambda row: row.spared.worst) is ranked[0]


def test_operators_know_their_module_line_and_tensors(simulated):
    program, graph, _ = simulated
    found = quantized_operators(program, graph)
    assert [o.name for o in found] == ["conv2d", "conv2d_1", "conv2d_2"]
    assert [o.module for o in found] == ["body.0", "body.2", "body.4"]
    assert {o.kind for o in found} == {"conv2d"}
    assert all(o.source is not None and o.source.startswith("networks.py:") for o in found)
    assert found[0].tensors == {"y0", "body_0_weight", "relu"}
    assert found[2].tensors == {"relu_1", "body_4_weight", "conv2d_2"}


def test_what_is_float_anyway_has_no_row(simulated):
    program, _, _ = simulated
    prepared = prepare_simulation(ptq.separate(program), frozenset(["conv2d_1"]))
    assert [o.name for o in quantized_operators(program, prepared)] == ["conv2d", "conv2d_2"]


def test_sparing_an_operator_is_what_the_quantiser_does(simulated, residual, pictures):
    """Compare with ``keep_float``: the tensors left in float and the picture are the same."""
    program, graph, inputs = simulated
    first = quantized_operators(program, graph)[0]
    _, kept = ptq.calibrated(program, pictures, frozenset([first.name]))
    left = {name for name, _ in observers(kept)}
    assert {name for name, _ in observers(graph)} - left == first.own
    (found,) = quantization_costs(graph, [first], inputs, judge_of(residual, inputs))
    real = ptq.convert_program(program, kept).exported.module()
    assert found.spared == quality(real, inputs, judge_of(residual, inputs))


def test_alone_is_the_switches_of_its_tensors(simulated, residual):
    program, graph, inputs = simulated
    judge = judge_of(residual, inputs)
    last = quantized_operators(program, graph)[-1]
    (found,) = quantization_costs(graph, [last], inputs, judge)
    switched = roundings(graph)
    for name, rounding in switched.items():
        rounding.enabled = name in last.tensors
    alone = quality(graph, inputs, judge)
    for rounding in switched.values():
        rounding.enabled = True
    assert found.alone == alone
    assert found.alone.worst <= found.alone.mean
    assert found.alone.worst > quality(graph, inputs, judge).worst


def test_each_layer_is_pruned_alone():
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 3, 3, padding=1),
    ).eval()
    example = (torch.zeros(1, 3, 32, 32),)
    made = pruned_alone(body, example, ["0", "2", "4"], 0.5)
    assert [m.out_channels for m in made["0"][::2]] == [8, 16, 3]
    assert [m.out_channels for m in made["2"][::2]] == [16, 8, 3]
    assert "cannot be pruned" in made["4"]
    assert body[0].out_channels == 16
    assert "no step of 8" in pruned_alone(body, example, ["0"], 0.1)["0"]
    with pytest.raises(UsageError, match="expected a share above 0 and below 1"):
        pruned_alone(body, example, ["0"], 1.5)
