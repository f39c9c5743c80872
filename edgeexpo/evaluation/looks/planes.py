"""Planes of pictures, and the filters over windows that the looks share."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import rgb_to_lab, srgb_to_linear

CODES = 255.0
"""8-bit codes in the range of a picture."""

_LUMA_709 = np.array([0.2126, 0.7152, 0.0722], np.float32)


def luma_codes(picture: Picture) -> Picture:
    """Return the BT.709 luma of the encoded values, HxW float32, in 8-bit codes."""
    return np.asarray(picture @ _LUMA_709 * np.float32(CODES), np.float32)


def greyscale(picture: Picture) -> Picture:
    """Return the grey copy of a picture: its luma, rounded to 8 bits, in three channels."""
    codes = np.rint(np.clip(luma_codes(picture), 0, CODES)) / np.float32(CODES)
    return np.repeat(codes[..., None], 3, axis=2)


def to_lab(picture: Picture) -> Picture:
    """Return CIE L*a*b* (D65) of a picture, HxWx3 float32."""
    return np.asarray(rgb_to_lab(picture), np.float32)


def to_linear(picture: Picture) -> Picture:
    """Return linear light of a picture, HxWx3 float32 in [0, 1]."""
    return np.asarray(srgb_to_linear(picture), np.float32)


def box_mean(planes: Picture, side: int) -> Picture:
    """Return means over windows of ``side`` pixels, with replicated borders.

    Args:
        planes: HxW or HxWxC float32.
        side: Odd side of the windows, in pixels.

    Returns:
        The same shape.
    """
    radius = side // 2
    padded = F.pad(_batch(planes), (radius,) * 4, mode="replicate")
    return _unbatch(F.avg_pool2d(padded, side, stride=1), planes)


def largest(plane: Picture, height: int, width: int) -> Picture:
    """Return the largest value over windows of odd sides; what lies outside does not count.

    Args:
        plane: HxW or HxWxC float32.
        height, width: Sides of the windows, in pixels.

    Returns:
        The same shape.
    """
    # One axis after the other takes height + width comparisons a pixel instead of their product.
    rows = F.max_pool2d(_batch(plane), (height, 1), stride=1, padding=(height // 2, 0))
    pooled = F.max_pool2d(rows, (1, width), stride=1, padding=(0, width // 2))
    return _unbatch(pooled, plane)


def box_sum(plane: Picture, side: int) -> Picture:
    """Return sums over windows of ``side`` pixels, of what lies inside the picture.

    Args:
        plane: HxW float32.
        side: Odd side of the windows, in pixels. The time does not depend on it.

    Returns:
        HxW float32, summed in float64.
    """
    total = plane.astype(np.float64)
    for axis in (0, 1):
        length = plane.shape[axis]
        ends = np.insert(np.cumsum(total, axis=axis), 0, 0.0, axis=axis)
        start = np.maximum(np.arange(length) - side // 2, 0)
        stop = np.minimum(np.arange(length) + side // 2 + 1, length)
        total = np.take(ends, stop, axis=axis) - np.take(ends, start, axis=axis)
    return total.astype(np.float32)


def halved(picture: Picture) -> Picture:
    """Return means over blocks of 2x2 pixels; an odd row or column at the end is left out."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    even = picture[:height, :width]
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return np.asarray(total / 4, np.float32)


def _batch(planes: Picture) -> torch.Tensor:
    three = planes[..., None] if planes.ndim == 2 else planes
    return torch.from_numpy(np.ascontiguousarray(three.transpose(2, 0, 1), np.float32))[None]


def _unbatch(tensor: torch.Tensor, like: Picture) -> Picture:
    planes = np.asarray(tensor[0].numpy().transpose(1, 2, 0))
    return planes[..., 0] if like.ndim == 2 else planes
