"""Angles of four quadrants for Core ML's converter."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def four_quadrants(y: Tensor, x: Tensor) -> Tensor:
    """Return ``atan2(y, x)``, computed from ``atan``.

    coremltools 9.0 gives 0 instead of pi where ``y`` is zero and ``x`` is negative, as for a
    frequency without an imaginary part.
    """
    y, x = y + torch.zeros_like(x), x + torch.zeros_like(y)
    upright = x == 0
    angle = torch.atan(y / torch.where(upright, torch.ones_like(x), x))
    angle = torch.where(upright, torch.sign(y) * (math.pi / 2), angle)
    half_turn = torch.where(y < 0, torch.full_like(y, -math.pi), torch.full_like(y, math.pi))
    return angle + torch.where(x < 0, half_turn, torch.zeros_like(y))
