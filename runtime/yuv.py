"""Conversion of YUV 4:2:0 to RGB and back: matrices, ranges and chroma siting.

The work is done window by window: only the result has the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeexpo.frame_format import MATRICES, SITINGS
from edgeexpo.imaging.coded import packed
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.raster import Computed, Raster, Window, grown, sides, within, write_raster
from edgeexpo.imaging.scratch import planar, scope, scratch_array
from edgeexpo.imaging.scratch import planes as planes_of

YuvPlanes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The planes Y (HxW), U and V (H/2 x W/2): uint8 codes, or 10 bits in the upper bits of uint16."""


@dataclass(frozen=True)
class Coding:
    """The meaning of the codes of a YUV frame.

    Attributes:
        matrix: Name in :data:`MATRICES`.
        full_range: True when codes use the whole range. Otherwise Y uses 16 to 235, and U and V use
            16 to 240; with 10 bits these numbers are four times as large.
        siting: Name in :data:`SITINGS`.
        bits: 8, or 10 in the upper bits of 16.
    """

    matrix: str
    full_range: bool
    siting: str
    bits: int

    @property
    def shift(self) -> int:
        """Number of unused lower bits."""
        return 6 if self.bits == 10 else 0

    @property
    def luma(self) -> tuple[float, float]:
        """Code of black, and number of codes from black to white."""
        unit = 2.0 ** (self.bits - 8)
        return (0.0, 2.0**self.bits - 1) if self.full_range else (16 * unit, 219 * unit)

    @property
    def chroma(self) -> tuple[float, float]:
        """Code of grey, and number of codes from one end of the range to the other."""
        unit = 2.0 ** (self.bits - 8)
        return 128 * unit, 2.0**self.bits - 1 if self.full_range else 224 * unit


def yuv_to_rgb(planes: YuvPlanes, coding: Coding) -> Raster:
    """Convert YUV planes to HxWx3 float32 RGB in [0,1]; chroma is interpolated bilinearly.

    The transfer is unchanged.
    """
    shape = (*planes[0].shape, 3)

    def compute(window: Window, out: np.ndarray) -> None:
        paired = grown(window, 0, shape, multiple=2)
        if paired == window:
            _convert(planes, coding, window, out)
            return
        picture = planar((*sides(paired), 3))
        _convert(planes, coding, paired, picture)
        np.copyto(out, picture[within(window, paired)])

    return Computed(shape, compute, cheap=kernel_module("yuv") is not None)


def _convert(planes: YuvPlanes, coding: Coding, window: Window, out: np.ndarray) -> None:
    """Convert a window that starts and stops on even numbers."""
    red, blue = MATRICES[coding.matrix]
    green = 1 - red - blue
    kernels = kernel_module("yuv")
    if kernels is not None:
        _convert_compiled(kernels, planes, coding, window, out)
        return
    y, mixed = scratch_array(sides(window)), scratch_array(sides(window))
    np.copyto(y, _codes(planes[0][window], coding))
    y -= np.float32(coding.luma[0])
    y /= np.float32(coding.luma[1])
    (u, unit), (v, _) = (_interpolated(plane, _half(window), coding) for plane in planes[1:])
    for channel, chroma, share in ((0, v, red), (2, u, blue)):
        np.multiply(chroma, np.float32(2 * (1 - share) * unit), out=mixed)
        mixed += y
        np.clip(mixed, 0, 1, out=out[..., channel])
    for chroma, share in ((u, blue), (v, red)):
        chroma *= np.float32(-2 * share * (1 - share) / green * unit)
        y += chroma
    np.clip(y, 0, 1, out=out[..., 1])


def _convert_compiled(
    kernels: Any, planes: YuvPlanes, coding: Coding, window: Window, out: np.ndarray
) -> None:
    """Do as :func:`_convert` does, in compiled code."""
    red, blue = MATRICES[coding.matrix]
    green = 1 - red - blue
    on_row, on_column = SITINGS[coding.siting]
    unit = 1 / ((2 if on_row else 4) * (2 if on_column else 4) * coding.chroma[1])
    shares = (2 * (1 - red), -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green)
    factors = scratch_array((6,))
    factors[:] = (*coding.luma, *(share * unit for share in (*shares, 2 * (1 - blue))))
    with scope():
        u, v = (_surrounded(plane, _half(window), coding) for plane in planes[1:])
        for samples in (u, v):
            samples -= np.int16(coding.chroma[0])
        luma, target = packed(_codes(planes[0][window], coding)), planes_of(out)
        if not target[0].flags.c_contiguous:
            target = scratch_array(target.shape)
        kernels.read_yuv(luma, u, v, on_row, on_column, factors, target[0], target[1], target[2])
        if not np.may_share_memory(target, out):
            np.copyto(planes_of(out), target)


def _codes(plane: np.ndarray, coding: Coding) -> np.ndarray:
    """Return 10-bit codes as int16, and 8-bit codes unchanged."""
    if not coding.shift:
        return plane
    codes = scratch_array(plane.shape, np.uint16)
    np.right_shift(plane, coding.shift, out=codes)
    return codes.view(np.int16)


def _interpolated(plane: np.ndarray, window: Window, coding: Coding) -> tuple[np.ndarray, float]:
    """Return a window of chroma at twice its size, with grey as 0, and the value of one unit.

    Integers stay exact, because neighbours are added according to their weights.
    """
    height, width = sides(window)
    on_row, on_column = SITINGS[coding.siting]
    values = scratch_array((2 * height, 2 * width))
    with scope():
        samples = _surrounded(plane, window, coding)
        samples -= np.int16(coding.chroma[0])
        wide = scratch_array((height + 2, 2 * width), np.int16)
        tall = scratch_array(values.shape, np.int16)
        _double(samples, 1, on_column, wide)
        _double(wide, 0, on_row, tall)
        np.copyto(values, tall)
    count = (2 if on_row else 4) * (2 if on_column else 4)
    return values, 1 / (count * coding.chroma[1])


def _surrounded(plane: np.ndarray, window: Window, coding: Coding) -> np.ndarray:
    """Return the codes of a window and one more sample on every side, as int16.

    Outside the picture the border's samples are repeated.
    """
    height, width = sides(window)
    values = scratch_array((height + 2, width + 2), np.int16)
    rows, columns = window
    read = grown(window, 1, plane.shape)
    around = slice(rows.start - 1, rows.stop + 1), slice(columns.start - 1, columns.stop + 1)
    inside = within(read, around)
    np.copyto(values[inside], _codes(plane[read], coding))
    for lines, span, side in ((values, rows, plane.shape[0]), (values.T, columns, plane.shape[1])):
        if span.start == 0:
            lines[0] = lines[1]
        if span.stop == side:
            lines[-1] = lines[-2]
    return values


def _double(samples: np.ndarray, axis: int, on_sample: bool, out: np.ndarray) -> None:
    """Interpolate twice as many samples along ``axis``, without the samples at both ends.

    The result is scaled by 2 when luma samples lie on chroma samples, and by 4 otherwise.
    """
    before, here, after = (
        _every(samples, axis, span) for span in (slice(-2), slice(1, -1), slice(2, None))
    )
    even, odd = (_every(out, axis, slice(first, None, 2)) for first in (0, 1))
    if on_sample:
        np.add(here, here, out=even)
        np.add(here, after, out=odd)
        return
    with scope():
        thrice = np.multiply(here, 3, out=scratch_array(here.shape, here.dtype))
        np.add(before, thrice, out=even)
        np.add(after, thrice, out=odd)


def rgb_to_yuv(picture: Raster, planes: YuvPlanes, coding: Coding, window: Window) -> None:
    """Write a window of an RGB picture into YUV planes; values are clipped to [0,1].

    Args:
        picture: HxWx3 float32 RGB, in the transfer of the planes.
        planes: The planes to write.
        coding: The meaning of the codes.
        window: A window of the picture that starts and stops on even numbers.
    """
    red, blue = MATRICES[coding.matrix]
    kernels = kernel_module("yuv")
    if kernels is not None:
        _write_compiled(kernels, picture, planes, coding, window)
        return
    rgb = _preceded(picture, window)
    y, part = scratch_array(rgb[0].shape), scratch_array(rgb[0].shape)
    np.multiply(rgb[0], np.float32(red), out=y)
    for channel, share in ((1, 1 - red - blue), (2, blue)):
        np.multiply(rgb[channel], np.float32(share), out=part)
        y += part
    on_row, on_column = SITINGS[coding.siting]
    count = (4 if on_row else 2) * (4 if on_column else 2)
    half = _half(window)
    for channel, share, plane in ((2, blue, planes[1]), (0, red, planes[2])):
        with scope():
            full = np.subtract(rgb[channel], y, out=part)
            small = _gathered(_gathered(full, 0, on_row), 1, on_column)
            span = coding.chroma[1] * 0.5 / (1 - share) / count
            np.copyto(plane[half], _coded(small, coding.chroma[0], span, coding), casting="unsafe")
    codes = _coded(y, *coding.luma, coding)
    np.copyto(planes[0][window], codes[1:, 1:], casting="unsafe")


def _write_compiled(
    kernels: Any, picture: Raster, planes: YuvPlanes, coding: Coding, window: Window
) -> None:
    """Do as :func:`rgb_to_yuv` does, in compiled code."""
    red, blue = MATRICES[coding.matrix]
    on_row, on_column = SITINGS[coding.siting]
    (top, left), half = (min(span.start, 2) for span in window), _half(window)
    rows, columns = window
    read = slice(rows.start - top, rows.stop), slice(columns.start - left, columns.stop)
    rgb = scratch_array((3, *sides(read)))
    write_raster(picture, read, rgb.transpose(1, 2, 0))
    spans = [
        coding.chroma[1] * 0.5 / (1 - share) / ((4 if on_row else 2) * (4 if on_column else 2))
        for share in (blue, red)
    ]
    factors = scratch_array((9,))
    factors[:] = (
        *(red, 1 - red - blue, blue, *coding.luma),
        *(coding.chroma[0], *spans, 2**coding.bits - 1),
    )
    made = [scratch_array(sides(part), planes[0].dtype) for part in (window, half, half)]
    kernels.write_yuv(rgb, top, left, on_row, on_column, factors, coding.shift, *made)
    for plane, part, codes in zip(planes, (window, half, half), made, strict=True):
        np.copyto(plane[part], codes)


def _preceded(picture: Raster, window: Window) -> np.ndarray:
    """Return 3xHxW in [0,1]: a window with one more row above and one more column on the left.

    Outside the picture the border's pixels are repeated.
    """
    rows, columns = window
    above, left = min(rows.start, 1), min(columns.start, 1)
    read = (
        slice(rows.start - above, rows.stop),
        slice(columns.start - left, columns.stop),
    )
    rgb = scratch_array((3, rows.stop - rows.start + 1, columns.stop - columns.start + 1))
    write_raster(picture, read, rgb[:, 1 - above :, 1 - left :].transpose(1, 2, 0))
    for plane in rgb:
        if not above:
            plane[0] = plane[1]
        if not left:
            plane[:, 0] = plane[:, 1]
    return np.clip(rgb, 0, 1, out=rgb)


def _coded(values: np.ndarray, zero: float, span: float, coding: Coding) -> np.ndarray:
    """Convert numbers to codes, in place."""
    values *= np.float32(span)
    values += np.float32(zero)
    np.rint(values, out=values)
    np.clip(values, 0, 2**coding.bits - 1, out=values)
    if coding.shift:
        values *= np.float32(2**coding.shift)
    return values


def _gathered(samples: np.ndarray, axis: int, on_sample: bool) -> np.ndarray:
    """Sum samples to half as many along ``axis``, by weights 1 2 1 or by pairs.

    The first sample only serves the weights 1 2 1, which need the sample before a pair.
    """
    pairs = _every(samples, axis, slice(1, None))
    if on_sample:
        before = _every(samples, axis, slice(-1))
        pairs = np.add(pairs, before, out=scratch_array(pairs.shape))
    even, odd = (_every(pairs, axis, slice(first, None, 2)) for first in (0, 1))
    total = scratch_array(even.shape)
    np.add(even, odd, out=total)
    return total


def _every(samples: np.ndarray, axis: int, span: slice) -> np.ndarray:
    return samples[span] if axis == 0 else samples[:, span]


def _half(window: Window) -> Window:
    """Return the window of a chroma plane that belongs to a window of luma."""
    rows, columns = (slice(span.start // 2, span.stop // 2) for span in window)
    return rows, columns
