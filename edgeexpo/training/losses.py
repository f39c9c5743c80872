"""Losses of exposure interpolation."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolation_loss(predicted: Tensor, truth: Tensor, color_weight: float = 0.05) -> Tensor:
    """Mean squared error plus the angle between RGB vectors (LRL, ICASSP 2020).

    The angle is ``mean(1 - cos)``, as in the authors' code: arccos has no finite gradient at 1.

    Args:
        predicted: Nx3xHxW, sRGB-encoded, about [0, 1].
        truth: Nx3xHxW, sRGB-encoded, [0, 1].
        color_weight: Weight of the angle; 0.05 is the sister code's 1.5 / 32 in terms of means.
    """
    error = torch.mean((predicted - truth) ** 2)
    dot = (predicted * truth).sum(dim=1)
    norms = (predicted.norm(dim=1) + 1e-5) * (truth.norm(dim=1) + 1e-5)
    return error + color_weight * torch.mean(1 - dot / norms)
