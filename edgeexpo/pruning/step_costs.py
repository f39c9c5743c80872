"""Measurement of how a network's output changes when one block gets narrower, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeexpo.errors import UsageError
from edgeexpo.pruning.channels import Channels
from edgeexpo.pruning.narrowing import masked
from edgeexpo.pruning.schedule import Changes, levels, positions, with_block


def step_changes(
    network: nn.Module,
    channels: Channels,
    scores: Sequence[Tensor],
    multiple: int,
    pictures: Sequence[tuple[Tensor, ...]],
) -> Changes:
    """Measure the mean squared change of the output for every block alone at each of its widths.

    Removed channels are set to zero. The most important units stay.

    Args:
        network: The network, in eval mode. It is not changed.
        channels: Channels of the network.
        scores: Importance of every block's units, one vector for each block.
        multiple: Number of which the kept channels of a layer are a multiple.
        pictures: Inputs, NCHW each.

    Returns:
        For every block: units that stay -> mean squared change. All units give 0.

    Raises:
        UsageError: The network's output for a picture is not finite.
    """
    units = [block.units for block in channels.blocks]
    with torch.no_grad():
        wanted = [network(*picture) for picture in pictures]
        for index, output in enumerate(wanted):
            if not bool(torch.isfinite(output).all()):
                raise UsageError(
                    f"the network gives NaN or infinite values on picture {index + 1} that "
                    "sensitivity is measured on; expected finite ones: check the weights"
                )

        def change(index: int, stay: int) -> float:
            narrow = masked(network, positions(channels, scores, with_block(units, index, stay)))
            errors = [
                float((narrow(*picture) - output).square().mean())
                for picture, output in zip(pictures, wanted, strict=True)
            ]
            return sum(errors) / len(errors)

        return [
            {block.units: 0.0} | {n: change(index, n) for n in levels(block, multiple)[1:]}
            for index, block in enumerate(channels.blocks)
        ]
