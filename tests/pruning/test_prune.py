"""Tests that a pruned network equals the masked network, for all kinds of layers and blocks."""

from __future__ import annotations

import copy

import pytest
import torch
import torch_pruning as tp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeexpo.errors import ModuleError, UsageError
from edgeexpo.models.cost import count_cost
from edgeexpo.pruning.channels import find_channels
from edgeexpo.pruning.prune import prune_module
from edgeexpo.pruning.schedule import SCOPES, cost, levels, schedule
from tests.support.pruning_blocks import (
    BLOCKS,
    ChannelSoftmax,
    Chunks,
    Plain,
    WrittenSplit,
    WrittenWidth,
    chain,
)

EXAMPLE = (torch.zeros(1, 3, 16, 16),)
WHOLE = (WrittenWidth, WrittenSplit, ChannelSoftmax)


def weights_of(network):
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def masked(network, pruned):
    """Return the network with zeros for all weights that pruning removed, in float64."""
    copied = copy.deepcopy(network).double()
    full, narrow = weights_of(copied), weights_of(pruned.module)
    with torch.no_grad():
        for name, value in full.items():
            if value.shape == narrow[name].shape:
                continue
            places = torch.meshgrid(*pruned.kept[name], indexing="ij")
            value.zero_()
            value[places] = narrow[name].double()
    return copied


def assert_equals_masked(network, pruned):
    small, full = copy.deepcopy(pruned.module).double(), masked(network, pruned)
    for height, width in ((16, 16), (24, 40)):
        torch.manual_seed(height)
        picture = torch.rand(2, 3, height, width, dtype=torch.float64)
        with torch.no_grad():
            expected = full(picture)
            scale = float(expected.abs().max())
            assert small(picture).shape == picture.shape
            torch.testing.assert_close(small(picture), expected, atol=1e-6 * scale, rtol=0)


def layers_of(network):
    """Return the layers in the network's blocks that have more than 8 channels."""
    named = network.blocks.named_modules(prefix="blocks")
    widths = {n: getattr(m, "out_channels", getattr(m, "out_features", 0)) for n, m in named}
    return {name for name, width in widths.items() if width > 8}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in WHOLE])
def test_every_block_is_pruned_throughout(block):
    network = chain([block])
    before = copy.deepcopy(network.state_dict())
    every = dict.fromkeys(layers_of(network), 0.5)
    pruned = prune_module(network, EXAMPLE, ratio=0.3, layers=every)
    assert_equals_masked(network, pruned)
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    assert every.keys() <= {name for name, (was, now) in pruned.widths.items() if now < was}


@pytest.mark.parametrize("block", WHOLE)
def test_what_cannot_be_followed_is_left_whole_and_named(block):
    network = chain([block])
    pruned = prune_module(network, EXAMPLE, ratio=0.2)
    assert_equals_masked(network, pruned)
    for name in layers_of(network):
        assert pruned.widths[name][0] == pruned.widths[name][1]
        assert name in pruned.whole


RANDOM = {
    "blocks": st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=4),
    "ratio": st.floats(0.1, 0.6),
    "scope": st.sampled_from(SCOPES),
    "seed": st.integers(0, 99),
}


@settings(max_examples=4, deadline=None)
@given(**RANDOM)
def test_random_networks_equal_masked_ones(blocks, ratio, scope, seed):
    check_random_network(blocks, ratio, scope, seed)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(**RANDOM)
def test_many_random_networks_equal_masked_ones(blocks, ratio, scope, seed):
    check_random_network(blocks, ratio, scope, seed)


def check_random_network(blocks, ratio, scope, seed):
    network = chain(blocks, seed)
    least = prune_module(
        network, EXAMPLE, ratio=None, layers={"first": 2 / 3, "before_last": 3 / 4}
    )
    ratio = min(ratio, least.ratio)
    pruned = prune_module(network, EXAMPLE, ratio=ratio, scope=scope, pictures=[EXAMPLE])
    assert pruned.ratio >= ratio
    assert_equals_masked(network, pruned)
    shapes = [(1, 3, 16, 16)]
    assert pruned.macs_before == count_cost(network, shapes).macs
    assert pruned.macs_after == count_cost(pruned.module, shapes).macs
    assert pruned.parameters_after == sum(p.numel() for p in pruned.module.parameters())
    assert sum(now < was for was, now in pruned.widths.values()) > 0
    assert pruned.widths["last"] == (3, 3)


def test_widths_are_multiples_and_the_ratio_is_the_nearest():
    network = chain([Plain, Plain])
    pruned = prune_module(network, EXAMPLE, ratio=0.5)
    assert all(now % 8 == 0 for name, (_, now) in pruned.widths.items() if name != "last")
    assert 0.5 <= pruned.ratio < 0.6
    fine = prune_module(network, EXAMPLE, ratio=0.5, multiple=1)
    assert 0.5 <= fine.ratio < 0.51


def test_important_channels_stay():
    network = chain([Plain])
    with torch.no_grad():
        network.first.weight[5:13] *= 10
    pruned = prune_module(network, EXAMPLE, ratio=None, layers={"first": 2 / 3})
    assert pruned.kept["first.weight"][0].tolist() == list(range(5, 13))


def test_taylor_finds_what_the_loss_does_not_need():
    """Channels whose readers are nearly zero do not affect the loss, even with large weights."""
    network = chain([])
    idle = torch.arange(8, 16)
    with torch.no_grad():
        network.first.bias.fill_(0.5)
        network.first.weight[idle] *= 100
        network.before_last.weight[:, idle] *= 1e-6
    pictures = torch.rand(3, 2, 3, 16, 16)

    def losses(module):
        return (module(batch).square().mean() for batch in pictures)

    wanted = {"first": 1 / 3}
    pruned = prune_module(
        network, EXAMPLE, ratio=None, layers=wanted, importance="taylor", gradients=losses
    )
    assert not set(idle.tolist()) & set(pruned.kept["first.weight"][0].tolist())
    by_size = prune_module(network, EXAMPLE, ratio=None, layers=wanted)
    assert set(idle.tolist()) <= set(by_size.kept["first.weight"][0].tolist())


def test_sensitivity_scope_takes_from_where_pictures_change_least():
    """Sensitivity first removes large weights whose effect a later layer drops.

    Magnitude would keep them.
    """
    network = chain([Plain, Plain])
    with torch.no_grad():
        network.blocks[0][0].weight *= 100
        network.blocks[1][0].weight *= 1e-6
    picture = (torch.rand(1, 3, 16, 16),)

    def error(scope):
        made = prune_module(network, EXAMPLE, ratio=0.2, scope=scope, pictures=[picture])
        with torch.no_grad():
            return float((made.module(*picture) - network(*picture)).abs().max())

    assert error("sensitivity") < 0.01 * error("global")


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.7), st.integers(0, 99))
def test_by_sensitivity_nothing_more_goes_than_the_ratio_needs(ratio, seed):
    channels = find_channels(chain([Plain, Plain]), EXAMPLE)
    random = torch.Generator().manual_seed(seed)
    units = [block.units for block in channels.blocks]
    stays = [levels(block, 8) for block in channels.blocks]
    changes = [{n: float(torch.rand((), generator=random)) for n in widths} for widths in stays]

    def removed(counts):
        return 1 - cost(channels, counts) / cost(channels, units)

    scores = [torch.ones(size) for size in units]
    counts = schedule(channels, scores, ratio, "sensitivity", 8, {}, changes)
    assert removed(counts) >= ratio
    for index, widths in enumerate(stays):
        wider = [n for n in widths if n > counts[index]][-1:]
        assert not wider or removed([*counts[:index], *wider, *counts[index + 1 :]]) < ratio


def test_global_scope_takes_from_the_least_important_layer():
    network = chain([Plain, Plain])
    weak, norm, _ = network.blocks[0]
    with torch.no_grad():  # two thirds of the layer's channels are nearly zero
        for value in (*weak.parameters(), *norm.parameters()):
            value[:16] *= 1e-3
        network.blocks[1][0].weight[:, :16] *= 1e-3
    pruned = prune_module(network, EXAMPLE, ratio=0.3, scope="global")
    assert pruned.widths["blocks.0.0"] == (24, 8)
    even = prune_module(network, EXAMPLE, ratio=0.3)
    assert even.widths["blocks.0.0"][1] > 8


def test_layers_may_be_left_whole_by_name():
    network = chain([Plain, Chunks])
    pruned = prune_module(network, EXAMPLE, ratio=0.3, layers={"blocks.0.0": 0, "first": 0})
    assert pruned.widths["blocks.0.0"] == (24, 24)
    assert pruned.widths["first"] == (24, 24)
    assert_equals_masked(network, pruned)


def test_the_picture_is_never_pruned_and_layers_say_why():
    pruned = prune_module(chain([WrittenSplit]), EXAMPLE, ratio=0.2)
    assert "input" in pruned.whole["last"]
    assert "split" in pruned.whole["blocks.0.layer"]
    assert "pruning_blocks.py:" in pruned.whole["blocks.0.layer"]


class Gated(nn.Module):
    """A network that scales and shifts the picture."""

    def __init__(self):
        super().__init__()
        self.body, self.gain, self.shift = (nn.Conv2d(*io, 1) for io in ((3, 16), (16, 3), (16, 3)))

    def forward(self, picture):
        x = torch.relu(self.body(picture))
        return torch.clamp(picture * torch.sigmoid(self.gain(x)) + self.shift(x), 0, 1)


def test_what_gates_the_picture_is_not_pruned():
    pruned = prune_module(Gated().eval(), EXAMPLE, ratio=0.3, multiple=1)
    assert {"gain", "shift"} <= set(pruned.whole)
    assert pruned.widths["gain"] == pruned.widths["shift"] == (3, 3)
    assert pruned.widths["body"][1] < 16


class Constant(nn.Module):
    """A network with a tensor that fits only one width and is not part of its state."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = (
            nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 16), (16, 16), (16, 3))
        )

    def forward(self, picture):
        x = self.second(torch.relu(self.first(picture)))
        return self.last(x.view(x.shape[0], 16, *x.shape[2:]))


def test_a_width_that_only_shows_when_run_is_left_whole():
    pruned = prune_module(Constant().eval(), EXAMPLE, ratio=0.2, layers={"second": 0.5})
    assert pruned.widths["second"] == (16, 16)
    assert pruned.whole["second"] == "forward depends on its width"
    assert pruned.widths["first"] == (16, 8)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, picture):
        if picture.mean() > 0:
            return picture
        return self.layer(picture)


@pytest.mark.parametrize(
    ("network", "options", "error", "message"),
    [
        (chain([]), {"ratio": 1.0}, UsageError, "ratio is 1; expected a share above 0"),
        (chain([]), {"ratio": 0.0}, UsageError, "ratio is 0; expected"),
        (chain([]), {"ratio": 0.99}, UsageError, r"ratio 0.99 would empty layers: .* 0\.\d+ of"),
        (chain([]), {"ratio": 0.5, "importance": "taylor"}, UsageError, "needs a loss"),
        (
            chain([]),
            {"ratio": 0.5, "importance": "taylor", "gradients": lambda _: iter(())},
            UsageError,
            "no calibration batch",
        ),
        (chain([]), {"ratio": 0.5, "scope": "sensitivity"}, UsageError, "found none"),
        (
            chain([]),
            {"ratio": 0.5, "scope": "sensitivity", "pictures": [(EXAMPLE[0] * torch.nan,)]},
            UsageError,
            "NaN or infinite values on picture 1",
        ),
        (chain([]), {"ratio": None, "layers": {"first": 0.9}}, UsageError, "empty layer 'first'"),
        (chain([]), {"ratio": None, "layers": {"last": 0.5}}, UsageError, "'last' cannot be prune"),
        (chain([]), {"ratio": 0.5, "layers": {"none": 0}}, UsageError, "no layer 'none' .* first"),
        (Branch(), {"ratio": 0.5}, ModuleError, r"cannot be followed .* at test_prune.py:\d+"),
    ],
)
def test_what_cannot_be_done_is_said(network, options, error, message):
    with pytest.raises(error, match=message) as caught:
        prune_module(network, EXAMPLE, **options)
    assert len(str(caught.value).splitlines()) == 1


def test_it_agrees_with_torch_pruning_where_that_follows():
    """Torch-Pruning's dependency graph finds the same channels in residual and dense networks."""
    from tests.support.pruning_blocks import Dense, Skip, Transposed

    network = chain([Skip, Transposed, Dense])
    pruned = prune_module(network, EXAMPLE, ratio=None, layers={"first": 1 / 3})
    kept = pruned.kept["first.weight"][0].tolist()
    other = copy.deepcopy(network)
    graph = tp.DependencyGraph().build_dependency(other, torch.rand(1, 3, 16, 16), verbose=False)
    gone = [i for i in range(24) if i not in kept]
    graph.get_pruning_group(other.first, tp.prune_conv_out_channels, gone).prune()
    for name, value in other.state_dict().items():
        assert torch.equal(value, pruned.module.state_dict()[name])


def test_torch_pruning_still_loses_pictures_that_are_concatenated():
    """Show why edgeexpo has its own graph: Torch-Pruning 1.6.1 silently narrows wrong weights."""
    from tests.support.pruning_blocks import BesideThePicture

    network = chain([BesideThePicture])
    graph = tp.DependencyGraph().build_dependency(network, torch.rand(1, 3, 16, 16), verbose=False)
    group = graph.get_pruning_group(network.first, tp.prune_conv_out_channels, [0])
    read = [places for dep, places in group if dep.target.module is network.before_last]
    assert read == [[0]]  # [[3]] is right, because the picture's channels come first
