"""Importance of a unit of channels: by magnitude, or by the change of a loss without the unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.pruning.channels import Block, Channels

Importance = Literal["magnitude", "taylor"]
"""Importance criteria: :func:`magnitudes` or :func:`taylor`."""

Losses = Callable[[nn.Module], Iterable[Tensor]]
"""Losses of a network: a function that takes it and yields one scalar a calibration batch."""


def magnitudes(module: nn.Module, channels: Channels) -> list[Tensor]:
    """Return the L2 norm of all weights that go with a unit.

    These are weights of layers that make the unit's channels and of layers that read them. This is
    the group norm of G. Fang et al., "DepGraph", CVPR 2023.

    Returns:
        One vector for each block, with one value for each unit.
    """
    values = {name: p.detach().square() for name, p in module.named_parameters()}
    return [_sums(block, values).sqrt() for block in channels.blocks]


def taylor(module: nn.Module, channels: Channels, losses: Losses) -> list[Tensor]:
    """Return the first-order Taylor importance of every unit.

    The importance is the mean over batches of ``sum(weight * gradient) ** 2``. The sum runs over
    the weights of the layers that make the unit's channels. Source: P. Molchanov et al.,
    "Importance estimation for neural network pruning", CVPR 2019.

    Args:
        module: The network, in eval mode. Its parameters are changed to require gradients.
        channels: Channels of the network.
        losses: Function that yields the loss of every calibration batch.

    Returns:
        One vector for each block, with one value for each unit.

    Raises:
        UsageError: There is no loss, or a loss is not finite.
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
    """Return the sum of ``values`` over the parameters of each unit.

    With ``outputs``, only the parameters of layers that make the unit's channels count.
    """
    total = torch.zeros(block.units)
    for (name, axis), places in block.axes.items():
        if name in values and (outputs is None or axis == outputs.get(name, 0)):
            total += _along(values[name], axis)[torch.from_numpy(places)].sum(1)
    return total


def _along(value: Tensor, axis: int) -> Tensor:
    """Return the sums over all other axes, in float32 on the CPU."""
    rest = [other for other in range(value.dim()) if other != axis]
    return (value.sum(rest) if rest else value).float().cpu()
