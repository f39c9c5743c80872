"""The structure of a bracket without a network: a fusion in two bands that costs little.

The low band is exposure fusion at a quarter of the size. The details are each frame's own, weighted
by the same weights. Both enlarge smoothly, so the picture is ``sum W_k f_k + B`` with small maps
``W_k`` and ``B``: a multiply-add a pixel and frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.fusion import Measures, frame_shares, fused_by_windows
from edgeexpo.imaging.local_affine import box_mean
from edgeexpo.imaging.raster import Raster, whole_picture
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.scratch import planes, scope, scratch_array

FACTOR = 4
"""Factor by which the low band is smaller than the frames."""

LONGEST = 512
"""Longest side of the low band in pixels, which bounds the memory of the fusion."""

SMALLEST = 16
"""Shortest side of the low band in pixels, if the frames are as large."""

WEIGHT_RADIUS = 2
"""Radius in pixels of the low band over which the weights are averaged before they are enlarged."""


MEASURES = Measures(sigma=0.08**0.5, floor=1e-5)
"""Measures of the frames' weights. They change more slowly with exposure than Mertens' own, so that
the weights may be smoothed. The floor lies above the rounding noise of 8-bit frames, so that noise
does not choose a frame where all measures are small."""


def low_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the low band for frames of a size."""
    factor = max(FACTOR, max(height, width) / LONGEST)
    low = (max(min(SMALLEST, side), int(side / factor)) for side in (height, width))
    return next(low), next(low)


def structure_maps(frames: Sequence[Raster], side: int, workers: int = 1) -> Picture:
    """Find the weights and the offset with which frames make the structure of the picture.

    Args:
        frames: N HxWx3 rasters, sRGB-encoded, [0, 1].
        side: Side in pixels of the windows in which the low band is fused.
        workers: Number of threads.

    Returns:
        (N+3)xhxw float32, of the size :func:`low_size`: the frames' weights, which are 1 together,
        and the offsets of red, green and blue. A single frame is its own structure and has no maps,
        0xhxw.
    """
    count, size = len(frames), low_size(*frames[0].shape[:2])
    if count == 1:
        return scratch_array((0, *size))
    maps = scratch_array((count + 3, *size))
    with scope():
        copies = [resize(frame, size, workers=workers) for frame in frames]
        weights = frame_shares([planes(copy) for copy in copies], MEASURES)
        fused = fused_by_windows(copies, side, workers, **dataclasses.asdict(MEASURES))
        part = scratch_array(size)
        for weight, target in zip(weights, maps, strict=False):
            np.copyto(target, box_mean(weight[None], WEIGHT_RADIUS)[0])
        np.copyto(maps[count:], planes(whole_picture(fused, workers)))
        for weight, copy in zip(maps, copies, strict=False):
            for plane, target in zip(planes(copy), maps[count:], strict=True):
                target -= np.multiply(weight, plane, out=part)
    return maps


def apply_structure(maps: Picture, frames: Sequence[Picture], out: Picture) -> None:
    """Write the structure, 3xHxW clipped to [0, 1], from enlarged maps and the frames' planes.

    Args:
        maps: As of :func:`structure_maps`, enlarged to the frames' size.
        frames: 3xHxW each, sRGB-encoded, [0, 1].
        out: 3xHxW float32, overwritten.
    """
    if not len(maps):
        np.copyto(out, frames[0])
        return
    count = len(frames)
    with scope():
        part = scratch_array(out.shape[1:])
        for channel, target in enumerate(out):
            np.copyto(target, maps[count + channel])
            for weight, frame in zip(maps, frames, strict=False):
                target += np.multiply(weight, frame[channel], out=part)
            np.clip(target, 0, 1, out=target)
