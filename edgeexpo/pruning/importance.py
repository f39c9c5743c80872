"""How much a unit of channels matters: by magnitude, or by what a loss would lose without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.pruning.channels import Block, Channels

Importance = Literal["magnitude", "taylor"]
Losses = Callable[[nn.Module], Iterable[Tensor]]
"""Takes the network and yields the loss of one calibration batch after another."""


def magnitudes(module: nn.Module, channels: Channels) -> list[Tensor]:
    """L2 norm of all the weights that go with a unit: of its makers and of its readers.

    The group norm of G. Fang et al., "DepGraph", CVPR 2023. One vector a block.
    """
    values = {name: p.detach().square() for name, p in module.named_parameters()}
    return [_sums(block, values).sqrt() for block in channels.blocks]


def taylor(module: nn.Module, channels: Channels, losses: Losses) -> list[Tensor]:
    """First-order Taylor importance: the mean square over batches of ``sum(weight * gradient)``.

    P. Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019, summed over
    the layers that make the unit's channels. One vector a block.

    Args:
        module: A copy that may be differentiated, in eval mode.
        channels: Its channels.
        losses: Yields the losses; each is differentiated once.

    Raises:
        UsageError: There is no loss, or one is not finite.
    """
    module.requires_grad_(True)
    totals = [torch.zeros(block.units) for block in channels.blocks]
    batches = 0
    for loss in losses(module):
        if not bool(torch.isfinite(loss).all()):
            raise UsageError(
                f"the calibration loss of batch {batches} is {float(loss)}; expected a finite one"
            )
        module.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        values = {
            name: (p * p.grad).detach()
            for name, p in module.named_parameters()
            if p.grad is not None
        }
        for total, block in zip(totals, channels.blocks, strict=True):
            total += _sums(block, values, channels.outputs).square()
        batches += 1
    if not batches:
        raise UsageError("Taylor importance has no calibration batch; expected at least one")
    return [total / batches for total in totals]


def _sums(
    block: Block, values: Mapping[str, Tensor], outputs: Mapping[str, int] | None = None
) -> Tensor:
    """Sum of ``values`` over a unit, with ``outputs`` over what makes its channels only."""
    total = torch.zeros(block.units)
    for (name, axis), places in block.axes.items():
        if name in values and (outputs is None or axis == outputs.get(name, 0)):
            total += _along(values[name], axis)[torch.from_numpy(places)].sum(1)
    return total


def _along(value: Tensor, axis: int) -> Tensor:
    """Sums over all other axes, on the CPU in float32."""
    rest = [other for other in range(value.dim()) if other != axis]
    return (value.sum(rest) if rest else value).float().cpu()
