"""What the pictures of a network change when one of its layers gets narrower, step by step."""

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
    """Mean squared change of the output for every block alone at each of its widths.

    Args:
        network: In eval mode; it is not changed.
        channels: Its channels.
        scores: Importance of every block's units: the best stay.
        multiple: See :func:`edgeexpo.pruning.prune.prune_module`.
        pictures: Inputs, NCHW each.

    Raises:
        UsageError: The output for one of them is not finite.
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
