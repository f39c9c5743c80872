from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from edgeexpo.program.capture import capture
from edgeexpo.quantization.equalization import equalize, find_groups
from edgeexpo.quantization.ptq import quantize_program


def unequal(residual):
    """Return a network with ranges up to 16 times apart that computes the same pictures."""
    network = copy.deepcopy(residual)
    first, second = network.body[0], network.body[2]
    factor = torch.logspace(-0.6, 0.6, first.out_channels)
    with torch.no_grad():
        first.weight.mul_(factor.reshape(-1, 1, 1, 1))
        first.bias.mul_(factor)
        second.weight.div_(factor.reshape(1, -1, 1, 1))
    return network


def test_the_pictures_stay_the_same(residual, tensors, pictures):
    program = capture(unequal(residual), *tensors, (96, 96))
    inputs = [(torch.from_numpy(p["y0"].transpose(2, 0, 1)[None].copy()),) for p in pictures]
    before = [program.exported.module()(*x) for x in inputs]
    equal = equalize(program, inputs).exported.module()
    for x, expected in zip(inputs, before, strict=True):
        torch.testing.assert_close(equal(*x), expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(program.exported.module()(*x), expected)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_says_who_gets_like_ranges(strength, residual, tensors, pictures):
    """At strength 0 the reading weights get equal ranges, at 1 the channels do.

    At 0.5 channels and reading weights get the same ranges.
    """
    network = torch.nn.Sequential(*(residual.body[index] for index in (0, 1, 4)))
    program = capture(network, *tensors, (96, 96))
    x = torch.from_numpy(pictures[0]["y0"].transpose(2, 0, 1)[None].copy())
    module = equalize(program, [(x,)], strength).exported.module()
    features = next(n for n in module.graph.nodes if n.target == torch.ops.aten.relu.default)
    seen = {}

    class Record(torch.fx.Interpreter):
        def run_node(self, n):
            seen[n] = super().run_node(n)
            return seen[n]

    Record(module).run(x)
    channels = seen[features].amax((0, 2, 3))
    reader = next(n for n in features.users if n.target == torch.ops.aten.conv2d.default)
    weights = seen[reader.args[1]].abs().amax((0, 2, 3))
    alike = [float(values.max() / values.min()) for values in (weights, channels)]
    assert (alike[0] < 1.001) == (strength == 0)
    assert (alike[1] < 1.001) == (strength == 1)
    assert torch.allclose(channels, weights) == (strength == 0.5)


def test_unequal_channels_cost_int8_nothing(residual, tensors, pictures):
    x = torch.from_numpy(pictures[0]["y0"].transpose(2, 0, 1)[None].copy())
    errors = []
    for network in (residual, unequal(residual)):
        integer = quantize_program(capture(network, *tensors, (96, 96)), pictures).exported.module()
        errors.append(float((integer(x) - residual(x)).square().mean().detach()))
    assert 10 * np.log10(errors[1] / errors[0]) < 1


def test_what_reads_or_makes_the_picture_is_left_alone(tensors):
    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = torch.nn.Conv2d(3, 3, 3, padding=1)
            self.last = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, y0):
            once = torch.relu(self.shared(y0))
            twice = torch.relu(self.shared(once))
            return self.last(twice) + twice

    program = capture(Branches(), *tensors, (32, 32))
    assert find_groups(program.exported.module()) == ()


class Skips(torch.nn.Module):
    """A small UNet with leaky ReLUs, a transposed convolution, and a skip that is read twice."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.down = torch.nn.Conv2d(6, 8, 3, 2, 1)
        self.up = torch.nn.ConvTranspose2d(8, 5, 4, 2, 1)
        self.last = torch.nn.Conv2d(11, 3, 3, padding=1)
        self.activation = torch.nn.LeakyReLU(0.2)

    def forward(self, y0):
        first = self.activation(self.first(y0))
        up = torch.relu(self.up(self.activation(self.down(first))))
        return torch.sigmoid(self.last(torch.cat([up, first], 1)))


def test_skips_and_transposed_convolutions_are_equalised_too(tensors, pictures):
    torch.manual_seed(0)
    network = Skips().eval()
    with torch.no_grad():
        network.first.weight.mul_(torch.logspace(-1, 1, 6).reshape(-1, 1, 1, 1))
        network.up.weight.mul_(torch.logspace(-1, 1, 5).reshape(1, -1, 1, 1))
    program = capture(network, *tensors, (96, 96), multiple=2)
    groups = find_groups(program.exported.module())
    assert {len(group.labels) for group in groups} == {6, 8, 5}
    inputs = [(torch.from_numpy(p["y0"].transpose(2, 0, 1)[None].copy()),) for p in pictures]
    equal = equalize(program, inputs).exported.module()
    state = dict(equal.named_parameters())
    for x in inputs:
        torch.testing.assert_close(equal(*x), network(*x), atol=1e-6, rtol=0)
    spread = state["first.weight"].detach().abs().amax((1, 2, 3))
    assert spread.max() / spread.min() < 20


class Gated(torch.nn.Module):
    """A fusion network with weights shared by two frames, a gate, a sum and a concatenation."""

    def __init__(self):
        super().__init__()
        self.shared = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.attend = torch.nn.Conv2d(12, 6, 3, padding=1)
        self.merge = torch.nn.Conv2d(12, 8, 3, padding=1)
        self.body = torch.nn.Conv2d(8, 6, 3, padding=1)
        self.last = torch.nn.Conv2d(6, 3, 3, padding=1)
        self.activation = torch.nn.LeakyReLU(0.2)

    def forward(self, y0):
        first, second = (self.activation(self.shared(x)) for x in (y0, y0.flip(3)))
        gated = first * torch.sigmoid(self.attend(torch.cat([first, second], 1)))
        body = self.body(self.activation(self.merge(torch.cat([gated, second], 1))))
        return torch.sigmoid(self.last(body + second))


def test_sums_gates_and_shared_weights_are_equalised_too(tensors, pictures):
    torch.manual_seed(0)
    network = Gated().eval()
    spread = torch.logspace(-1, 1, 6).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        network.shared.weight.mul_(spread)
        network.body.weight.mul_(spread)
    program = capture(network, *tensors, (96, 96))
    groups = find_groups(program.exported.module())
    sides = [{(name.rpartition(".")[0], axis) for name, axis in g.axes} for g in groups]
    both = {("shared", 0), ("body", 0), ("attend", 1), ("merge", 1), ("last", 1)}
    assert sides == [both, {("merge", 0), ("body", 1)}]
    inputs = [(torch.from_numpy(p["y0"].transpose(2, 0, 1)[None].copy()),) for p in pictures]
    equal = equalize(program, inputs).exported.module()
    for x in inputs:
        torch.testing.assert_close(equal(*x), network(*x), atol=1e-6, rtol=0)
        torch.testing.assert_close(program.exported.module()(*x), network(*x))
    state = dict(equal.named_parameters())
    found = state["shared.weight"].detach().abs().amax((1, 2, 3))
    assert found.max() / found.min() < 20


def test_what_is_not_homogeneous_is_left_alone(tensors):
    class Sigmoids(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.second = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.last = torch.nn.Conv2d(4, 3, 3, padding=1)

        def forward(self, y0):
            features = torch.tanh(self.first(y0)) + self.second(y0)
            return self.last(features * (features + 1))

    program = capture(Sigmoids(), *tensors, (32, 32))
    assert find_groups(program.exported.module()) == ()
