"""Operations on planes, 1xCxHxW, that several stages share."""

from __future__ import annotations

import torch

from edgeexpo.imaging.color import LUMA

Planes = list[torch.Tensor]
"""Planes of each frame, 1xCxHxW."""


def luma(picture: torch.Tensor) -> torch.Tensor:
    """Return the luma, 1x1xHxW, of a picture, 1x3xHxW."""
    red, green, blue = channels(picture)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def channels(planes: torch.Tensor) -> list[torch.Tensor]:
    """Return the planes one by one, 1x1xHxW each."""
    return [planes[:, c : c + 1] for c in range(planes.shape[1])]


def product_sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the sum of the products of two pictures' channels, 1x1xHxW."""
    return (a * b).sum(1, keepdim=True)
