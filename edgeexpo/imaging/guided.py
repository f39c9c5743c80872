"""The fast guided filter, which applies a network's change of a small picture at full size.

Follows K. He, J. Sun, X. Tang, "Guided image filtering", TPAMI 35(6), 2013, and K. He, J. Sun,
"Fast guided filter", arXiv 1505.00996. In every window the result is an affine function of the
guide, ``q = a . I + b``. The coefficients ``a`` and ``b`` are computed at the small size, averaged
over windows, enlarged bilinearly, and applied to the full-size guide.

The published filter shrinks ``a`` towards zero where the guide is flat, which would flatten fine
detail. This module first fits one affine function to the whole picture, then fits the filter to
the residual. So ``a`` shrinks towards the whole picture's function, and an affine change is exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import BundleError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.coded import ByteWriter, CodedPicture, byte_windows, into_bytes, into_planes
from edgeexpo.imaging.color import lab_to_rgb, rgb_to_lab
from edgeexpo.imaging.enlarging import Taps, enlarged_rows, window_taps
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.local_affine import fit_affine
from edgeexpo.imaging.raster import (
    Computed,
    Raster,
    Window,
    sides,
    whole_picture,
    write_raster,
)
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.scratch import planes, scope, scratch_array

RADIUS, GUIDED_EPS = 2, 1e-4
"""Window radius in pixels of the small picture, and regulariser, for a side of about 256."""

COLORS = ("rgb", "lab")
"""Colours in which networks take pictures, as defined by :func:`encode`."""

_LAB_SCALE = np.array([50, 128, 128], np.float32)
_LAB_SHIFT = np.array([1, 0, 0], np.float32)


def guided_upsampling(
    small: npt.NDArray[np.floating],
    frames: Sequence[npt.NDArray[np.floating]],
    color: str = "rgb",
    radius: int = RADIUS,
    eps: float = GUIDED_EPS,
    method: str = "area",
) -> Picture:
    """Apply to full-size frames the change that turned their scaled copies into ``small``.

    Args:
        small: hxwx3, the network's output, in the network's colours, for frames that were scaled
            to hxw by :func:`edgeexpo.imaging.resize.resize`.
        frames: HxWx3 each, sRGB-encoded, [0, 1]. The channels of all frames form the guide.
        color: Colours of the network and of the filter: ``"rgb"`` (sRGB-encoded, [0, 1]) or
            ``"lab"`` (:func:`encode`).
        radius: Window radius, in pixels of ``small``.
        eps: Regulariser: variance of the guide, in the network's units, below which the whole
            picture's affine function counts more than the window's.
        method: Method by which the frames were scaled, one of
            :data:`edgeexpo.imaging.resize.RESIZE_METHODS`.

    Returns:
        HxWx3 float32, sRGB-encoded, clipped to [0, 1]. When ``small`` has the frames' size, no
        filter is applied and ``small`` itself is returned, converted to sRGB.

    Raises:
        BundleError: ``color`` is unknown.
        PictureError: ``method`` is unknown.
    """
    guided = guided_by_windows(np.asarray(small, np.float32), frames, color, radius, eps, method)
    return np.ascontiguousarray(whole_picture(guided))


def guided_by_windows(
    small: Picture,
    frames: Sequence[Raster],
    color: str = "rgb",
    radius: int = RADIUS,
    eps: float = GUIDED_EPS,
    method: str = "area",
    scaled: Sequence[Raster] | None = None,
) -> Raster:
    """Apply :func:`guided_upsampling` to frames that are rasters, one window at a time.

    Args:
        small: hxwx3, the network's output, in the network's colours.
        frames: HxWx3 rasters, sRGB-encoded, [0, 1].
        color: Colours of the network and of the filter, ``"rgb"`` or ``"lab"``.
        radius: Window radius, in pixels of ``small``.
        eps: Regulariser, as in :func:`guided_upsampling`.
        method: Method by which the frames are scaled when ``scaled`` is missing.
        scaled: Scaled copies of the frames in the network's colours, hxwx3 each. When missing,
            the copies are made here.

    Returns:
        HxWx3 raster, float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        BundleError: ``color`` is unknown.
        PictureError: ``method`` is unknown.
    """
    size = small.shape[:2]
    height, width = frames[0].shape[:2]
    if size == (height, width):
        return decode(small, color)
    coefficients = scratch_array((3, 3 * len(frames) + 1, *size))
    with scope():
        guide = scratch_array((3 * len(frames), *size))
        copies = scaled or (encode(resize(frame, size, method), color) for frame in frames)
        for part, copy in zip(np.split(guide, len(frames)), copies, strict=True):
            np.copyto(part, planes(whole_picture(copy)))
        target = scratch_array((3, *size))
        np.copyto(target, planes(small))
        np.copyto(coefficients, fit_affine(guide, target, radius, eps))

    def compute(window: Window, out: np.ndarray) -> None:
        guide = _guide(frames, window, color)
        vertical, horizontal = window_taps(window, size, (height, width))
        _apply(coefficients, guide, vertical, horizontal, planes(out), color == "rgb")
        if color != "rgb":
            np.copyto(out, decode(out, color))

    shape = (height, width, 3)
    kernels, coded = kernel_module("affine"), [f for f in frames if isinstance(f, CodedPicture)]
    if kernels is None or color != "rgb" or len(coded) < len(frames):
        return Computed(shape, compute, clipped=True)

    def write_bytes(window: Window, out: np.ndarray) -> None:
        rows, top, left = byte_windows(coded, window)
        taps = window_taps(window, size, (height, width))
        ((above, below), down), ((before, _), across) = taps
        taken = coefficients, rows, top, left, above, below, down, before, across
        into_bytes(window, out, lambda *target: kernels.apply_affine_to_bytes(*taken, *target))

    return ByteWriter(shape, compute, write_bytes)


def _guide(frames: Sequence[Raster], window: Window, color: str) -> Picture:
    """Return the channels of a window of all frames, CxHxW."""
    guide = scratch_array((3 * len(frames), *sides(window)))
    for frame, part in zip(frames, np.split(guide, len(frames)), strict=True):
        target = part.transpose(1, 2, 0)
        if color == "rgb":
            write_raster(frame, window, target)
        else:
            with scope():
                np.copyto(target, encode(frame[window], color))
    return guide


def encode(rgb: Picture, color: str) -> Picture:
    """Convert sRGB-encoded RGB to the colours in which a network takes pictures.

    Args:
        rgb: (..., 3), sRGB-encoded, [0, 1].
        color: ``"rgb"`` or ``"lab"``.

    Returns:
        ``rgb`` unchanged for ``"rgb"``. For ``"lab"``, CIE L*a*b* (D65) of the same shape, scaled
        as ``L/50 - 1, a/128, b/128``.

    Raises:
        BundleError: ``color`` is neither ``"rgb"`` nor ``"lab"``.
    """
    _check_color(color)
    if color == "rgb":
        return rgb
    return np.asarray(rgb_to_lab(rgb) / _LAB_SCALE - _LAB_SHIFT, np.float32)


def decode(picture: Picture, color: str) -> Picture:
    """Convert a network's colours to sRGB-encoded RGB in [0, 1], the inverse of :func:`encode`.

    Raises:
        BundleError: ``color`` is neither ``"rgb"`` nor ``"lab"``.
    """
    _check_color(color)
    if color == "lab":
        picture = np.asarray(lab_to_rgb((picture + _LAB_SHIFT) * _LAB_SCALE), np.float32)
    return np.clip(picture, 0, 1)


def _apply(
    coefficients: Picture,
    guide: Picture,
    rows: Taps,
    columns: Taps,
    out: Picture,
    clips: bool,
) -> None:
    """Enlarge a window of the coefficients bilinearly and apply it to the guide's window.

    Between two rows of the coefficients the result is ``p + weight q``, where ``p`` and ``q`` are
    affine functions of the guide. So the coefficients themselves are enlarged along rows only.

    Args:
        coefficients: 3x(C+1)xhxw.
        guide: CxHxW.
        rows, columns: Positions in the coefficients, and weights, for the window's pixels.
        out: 3xHxW, overwritten.
        clips: True clips the result to [0, 1].
    """
    kernels = kernel_module("affine")
    if kernels is not None:
        _apply_compiled(kernels, coefficients, guide, rows, columns, out, clips)
        return
    (above, below), weight = rows
    lowest, highest = int(above.min()), int(above.max())
    every = coefficients.reshape(-1, *coefficients.shape[2:])
    enlarged = enlarged_rows(every[:, lowest : int(below.max()) + 1], columns)
    starts = [int(above.searchsorted(row)) for row in range(lowest, highest + 2)]
    tallest = max(stop - start for start, stop in itertools.pairwise(starts))
    terms, width = coefficients.shape[1], len(columns[1])
    step = scratch_array((3, terms, width))
    memory = scratch_array((2, 3, tallest, width))
    for row, (start, stop) in enumerate(itertools.pairwise(starts)):
        if start == stop:
            continue
        first, second = (
            enlarged[:, index].reshape(step.shape) for index in (row, below[start] - lowest)
        )
        np.subtract(second, first, out=step)
        change, base = memory[:, :, : stop - start]
        _affine(step, guide[:, start:stop], change)
        _affine(first, guide[:, start:stop], base)
        change *= weight[start:stop, None]
        np.add(change, base, out=out[:, start:stop])
    if clips:
        np.clip(out, 0, 1, out=out)


def _affine(coefficients: Picture, guide: Picture, out: Picture) -> None:
    """Apply 3x(C+1)xW coefficients, equal for every row, to a CxHxW guide; writes 3xHxW."""
    for row, target in zip(coefficients, out, strict=True):
        # One pass a term: einsum multiplies and adds without an array in between.
        np.einsum("ix,iyx->yx", row[:-1], guide, out=target)
    out += coefficients[:, -1, None]


def _apply_compiled(
    kernels: Any,
    coefficients: Picture,
    guide: Picture,
    rows: Taps,
    columns: Taps,
    out: Picture,
    clips: bool,
) -> None:
    """Do as :func:`_apply` does, in compiled code."""
    ((above, below), down), ((before, _), across) = rows, columns
    taken = coefficients, guide, above, below, down, before, across, clips
    into_planes(out, lambda target: kernels.apply_affine(*taken, target))


def _check_color(color: str) -> None:
    if color not in COLORS:
        raise BundleError(
            f"the network's colours are {color!r}; this edgeexpo knows {', '.join(COLORS)}: "
            "install the version that exported the bundle"
        )
