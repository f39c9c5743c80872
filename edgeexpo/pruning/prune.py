"""Structured pruning: a network with fewer channels that computes what the masked network does.

As in Torch-Pruning, three questions are separate. :mod:`.channels` says which channels belong
together. :mod:`.importance` says how much they matter. :mod:`.schedule` says how many are removed.

The result is checked at once: the narrow network must equal the full network with its removed
weights set to zero. Layers for which this fails keep all channels, and the result names them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeexpo.errors import ModuleError, UsageError
from edgeexpo.program.capture import CAPTURE_ERRORS
from edgeexpo.pruning.channels import Channels, find_channels
from edgeexpo.pruning.importance import Importance, Losses, magnitudes, taylor
from edgeexpo.pruning.narrowing import Kept, masked, narrow
from edgeexpo.pruning.schedule import (
    Changes,
    Scope,
    cost,
    levels,
    positions,
    schedule,
    with_block,
)
from edgeexpo.pruning.step_costs import step_changes

MULTIPLE = 8
"""Multiple of channels that layers keep by default, because engines pack 8 channels."""


@dataclass(frozen=True)
class Pruned:
    """The result of pruning.

    Attributes:
        module: The narrow network, in eval mode.
        macs_before: Multiply-accumulates of the network's convolutions and linear layers, for the
            examples.
        macs_after: Multiply-accumulates of the narrow network.
        parameters_before: Number of parameters of the network.
        parameters_after: Number of parameters of the narrow network.
        widths: Layer -> (output channels before, output channels after).
        whole: Layer -> reason why some or all of its output channels could not be removed.
        kept: Narrowed parameter or buffer -> for each axis the kept positions, in order.
    """

    module: nn.Module
    macs_before: int
    macs_after: int
    parameters_before: int
    parameters_after: int
    widths: Mapping[str, tuple[int, int]]
    whole: Mapping[str, str]
    kept: Kept

    @property
    def ratio(self) -> float:
        """Share of the multiply-accumulates that was removed."""
        return 1 - self.macs_after / self.macs_before


def prune_module(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    *,
    ratio: float | None,
    importance: Importance = "magnitude",
    scope: Scope = "uniform",
    multiple: int = MULTIPLE,
    gradients: Losses | None = None,
    pictures: Sequence[tuple[Tensor, ...]] = (),
    layers: Mapping[str, float] | None = None,
) -> Pruned:
    """Remove channels until at least ``ratio`` of the multiply-accumulates are gone.

    Args:
        module: The network. It is not changed.
        examples: Its inputs, NCHW each, of the size at which costs are counted.
        ratio: Share of the multiply-accumulates to remove, above 0 and below 1. With ``None``, only
            the channels named by ``layers`` are removed.
        importance: ``"magnitude"``, or ``"taylor"``, which needs ``gradients``.
        scope: ``"uniform"`` removes the same share of every layer. ``"global"`` removes the least
            important channels of the whole network. ``"sensitivity"`` removes the channels that
            change the output for ``pictures`` least, relative to what they cost.
        multiple: Number of which the kept channels of a layer are a multiple.
        gradients: Function that takes the network and yields the loss of every calibration batch.
        pictures: Inputs, NCHW each, on which sensitivity is measured.
        layers: Layer -> share of its output channels to remove, from 0 to below 1. These layers
            leave the schedule of ``ratio``. A share of 0 keeps all channels. Coupled layers are
            narrowed with the layer.

    Returns:
        The narrow network. The schedule (:func:`edgeexpo.pruning.schedule.schedule`) comes as near
        to ``ratio`` from above as its steps of ``multiple`` channels allow.

    Raises:
        UsageError: A ratio is out of range, cannot be reached, or would empty a layer. Or
            ``layers`` names a layer that cannot be pruned, or ``gradients`` or ``pictures`` are
            needed and missing.
        ModuleError: ``forward`` fails or cannot be followed. The message names the user's line.
    """
    if ratio is not None and not 0 < ratio < 1:
        raise UsageError(f"the ratio is {ratio:g}; expected a share above 0 and below 1")
    network = copy.deepcopy(module).eval()
    channels = find_channels(network, examples)
    scores = _scores(network, channels, importance, gradients)
    changes = _changes(network, channels, scores, multiple, pictures, scope)
    fixed = _fixed(channels, layers or {}, multiple)
    broken: dict[str, str] = {}
    while True:
        counts = schedule(channels, scores, ratio, scope, multiple, fixed, changes)
        kept = positions(channels, scores, counts)
        narrowed = _narrowed(network, kept)
        if computes_the_same(narrowed, masked(network, kept), examples):
            return _result(network, narrowed, channels, counts, kept, broken)
        wrong = _wrong(network, channels, scores, counts, examples)
        if not wrong:
            raise ModuleError("removing channels changes what forward computes in unknown ways")
        for index in wrong:
            fixed[index] = channels.blocks[index].units
            broken[channels.blocks[index].name] = "forward depends on its width"


def computes_the_same(first: nn.Module, second: nn.Module, examples: Sequence[Tensor]) -> bool:
    """Return true if both networks give the same output on random inputs.

    The inputs are uniform in [0,1] and of the shapes of ``examples``. Both networks run in float64.
    The largest difference may be 1e-9 of the largest output of ``second``.
    """
    random = torch.Generator().manual_seed(0)
    inputs = [torch.rand(x.shape, generator=random, dtype=torch.float64) for x in examples]
    try:
        with torch.no_grad():
            got, expected = (copy.deepcopy(m).double()(*inputs) for m in (first, second))
    except CAPTURE_ERRORS:
        return False
    scale = expected.abs().max().clamp_min(1e-12)
    return got.shape == expected.shape and bool((got - expected).abs().max() <= 1e-9 * scale)


def _scores(
    network: nn.Module, channels: Channels, importance: Importance, gradients: Losses | None
) -> list[Tensor]:
    if importance == "magnitude":
        return magnitudes(network, channels)
    if gradients is None:
        raise UsageError("Taylor importance needs a loss on calibration pictures; found none")
    return taylor(copy.deepcopy(network), channels, gradients)


def _changes(
    network: nn.Module,
    channels: Channels,
    scores: Sequence[Tensor],
    multiple: int,
    pictures: Sequence[tuple[Tensor, ...]],
    scope: Scope,
) -> Changes | None:
    if scope != "sensitivity":
        return None
    if not pictures:
        raise UsageError("sensitivity is measured on pictures; found none")
    return step_changes(network, channels, scores, multiple, pictures)


def _fixed(channels: Channels, layers: Mapping[str, float], multiple: int) -> dict[int, int]:
    """Return block -> number of units that stay, for the blocks of the named layers."""
    fixed: dict[int, int] = {}
    for layer, share in layers.items():
        found = [
            index
            for index, block in enumerate(channels.blocks)
            if any(
                name.rpartition(".")[0] == layer and channels.outputs.get(name, 0) == axis
                for name, axis in block.axes
            )
        ]
        if not found:
            reason = channels.whole.get(layer)
            names = ", ".join(dict.fromkeys(block.name for block in channels.blocks))
            raise UsageError(
                f"layer {layer!r} cannot be pruned: {reason}"
                if reason
                else f"no layer {layer!r} can be pruned; expected one of: {names}"
            )
        for index in found:
            block = channels.blocks[index]
            stays = levels(block, multiple)
            wanted = block.units * (1 - share)
            if not 0 <= share < 1 or wanted < stays[-1] / 2:
                raise UsageError(
                    f"a ratio of {share:g} would empty layer {layer!r}: it has {block.units} "
                    f"channels and keeps a multiple of {multiple}"
                )
            fixed[index] = min(stays, key=lambda stay: abs(stay - wanted))
    return fixed


def _narrowed(network: nn.Module, kept: Kept) -> nn.Module:
    narrowed = copy.deepcopy(network)
    state = network.state_dict()
    narrow(narrowed, {n: state[n][torch.meshgrid(*a, indexing="ij")] for n, a in kept.items()})
    return narrowed


def _wrong(
    network: nn.Module,
    channels: Channels,
    scores: Sequence[Tensor],
    counts: Sequence[int],
    examples: Sequence[Tensor],
) -> list[int]:
    """Return the blocks that change what the network computes when pruned alone."""
    wrong = []
    for index, count in enumerate(counts):
        if count < channels.blocks[index].units:
            units = [block.units for block in channels.blocks]
            kept = positions(channels, scores, with_block(units, index, count))
            if not computes_the_same(_narrowed(network, kept), masked(network, kept), examples):
                wrong.append(index)
    return wrong


def _result(
    network: nn.Module,
    narrowed: nn.Module,
    channels: Channels,
    counts: Sequence[int],
    kept: Kept,
    broken: Mapping[str, str],
) -> Pruned:
    before, after = (_widths(m) for m in (network, narrowed))
    return Pruned(
        module=narrowed,
        macs_before=cost(channels, [block.units for block in channels.blocks]),
        macs_after=cost(channels, counts),
        parameters_before=sum(p.numel() for p in network.parameters()),
        parameters_after=sum(p.numel() for p in narrowed.parameters()),
        widths={name: (width, after[name]) for name, width in before.items()},
        whole={**channels.whole, **broken},
        kept=kept,
    )


def _widths(network: nn.Module) -> dict[str, int]:
    widths = {}
    for name, layer in network.named_modules():
        width = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        if isinstance(width, int):
            widths[name] = width
    return widths
