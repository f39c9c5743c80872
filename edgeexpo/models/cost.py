"""The cost of a network: its parameters, and the multiply-accumulates of one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass.

    Attributes:
        params: Number of trainable and frozen parameters, without buffers.
        macs: Multiply-accumulates of convolutions, transposed convolutions and matrix products.
    """

    params: int
    macs: int


def count_cost(module: torch.nn.Module, shapes: Sequence[tuple[int, ...]]) -> Cost:
    """Count the cost of ``module`` for inputs of ``shapes``, each NCHW.

    Nothing is computed, because a copy of the module and its inputs are on the meta device.
    Operations are counted at torch's dispatcher, not by hooks on layers. So convolutions that are
    called as functions count too.
    """
    shadow = copy.deepcopy(module).to("meta").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shadow(*(torch.empty(shape, device="meta") for shape in shapes))
    params = sum(p.numel() for p in module.parameters())
    return Cost(params=params, macs=counter.get_total_flops() // 2)
