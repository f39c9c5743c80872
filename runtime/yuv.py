"""YUV 4:2:0 to RGB and back: matrices, ranges, and where chroma samples lie.

Work is done window by window: nothing but the result has the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeexpo.frame_format import MATRICES, SITINGS
from edgeexpo.imaging.raster import Computed, Raster, Window, grown, within

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Y, HxW, then U and V, H/2 x W/2: codes, of 10 bits in the upper bits of uint16 or of 8."""


@dataclass(frozen=True)
class Coding:
    """What the codes of a YUV frame stand for.

    Attributes:
        matrix: Name in :data:`MATRICES`.
        full_range: Codes use the whole range; else 16 to 235 of Y and 16 to 240 of U and V (of 8
            bits; four times that of 10).
        siting: Name in :data:`SITINGS`.
        bits: 8, or 10 in the upper bits of 16.
    """

    matrix: str
    full_range: bool
    siting: str
    bits: int

    @property
    def shift(self) -> int:
        """Unused lower bits."""
        return 6 if self.bits == 10 else 0

    @property
    def luma(self) -> tuple[float, float]:
        """Code of black, and codes from there to white."""
        unit = 2.0 ** (self.bits - 8)
        return (0.0, 2.0**self.bits - 1) if self.full_range else (16 * unit, 219 * unit)

    @property
    def chroma(self) -> tuple[float, float]:
        """Code of grey, and codes from one end of the range to the other."""
        unit = 2.0 ** (self.bits - 8)
        return 128 * unit, 2.0**self.bits - 1 if self.full_range else 224 * unit


def yuv_to_rgb(planes: Planes, coding: Coding) -> Raster:
    """HxWx3 float32 RGB in [0,1]; chroma is interpolated bilinearly."""
    shape = (*planes[0].shape, 3)

    def compute(rows: slice, columns: slice) -> np.ndarray:
        # One chroma sample more on every side, which interpolation looks at.
        around = grown((rows, columns), 2, shape, multiple=2)
        half = tuple(slice(span.start // 2, span.stop // 2) for span in around)
        parts = (planes[0][around], planes[1][half], planes[2][half])
        return _converted(parts, coding)[within((rows, columns), around)]

    return Computed(shape, compute)


def _converted(planes: Planes, coding: Coding) -> np.ndarray:
    red, blue = MATRICES[coding.matrix]
    green = 1 - red - blue
    luma, *chroma = planes
    y = _floats(luma, coding.luma, coding)
    u, v = (_floats(plane, coding.chroma, coding) for plane in chroma)
    # What a channel adds to Y is interpolated, since there is a quarter as much of it.
    added: Planes = (
        v * np.float32(2 * (1 - red)),
        u * np.float32(-2 * blue * (1 - blue) / green)
        + v * np.float32(-2 * red * (1 - red) / green),
        u * np.float32(2 * (1 - blue)),
    )
    on_row, on_column = SITINGS[coding.siting]
    picture = np.empty((*luma.shape, 3), np.float32)
    for channel, samples in enumerate(added):
        for row, tall in enumerate(_phases(samples, 0, on_row)):
            for column, values in enumerate(_phases(tall, 1, on_column)):
                at = (slice(row, None, 2), slice(column, None, 2))
                np.add(y[at], values, out=picture[(*at, channel)])
    return np.clip(picture, 0, 1, out=picture)


def _floats(plane: np.ndarray, scale: tuple[float, float], coding: Coding) -> np.ndarray:
    codes = plane >> coding.shift if coding.shift else plane
    values = codes.astype(np.float32)
    values -= np.float32(scale[0])
    values /= np.float32(scale[1])
    return values


def _phases(samples: np.ndarray, axis: int, on_sample: bool) -> tuple[np.ndarray, np.ndarray]:
    """Twice as many samples along ``axis``, interpolated: the even and the odd ones."""
    moved = samples.swapaxes(0, axis)
    before = np.concatenate([moved[:1], moved[:-1]])
    after = np.concatenate([moved[1:], moved[-1:]])
    if on_sample:
        even, odd = moved, (moved + after) * np.float32(0.5)
    else:
        near, quarter = moved * np.float32(0.75), np.float32(0.25)
        even, odd = near + before * quarter, near + after * quarter
    return even.swapaxes(0, axis), odd.swapaxes(0, axis)


def rgb_to_yuv(picture: Raster, planes: Planes, coding: Coding, window: Window) -> None:
    """Write a window of a HxWx3 float32 RGB picture into planes; values are clipped to [0,1].

    Args:
        picture: The picture.
        planes: What is written.
        coding: What the codes stand for.
        window: It starts and stops on even numbers.
    """
    red, blue = MATRICES[coding.matrix]
    weights = np.array([red, 1 - red - blue, blue], np.float32)
    on_row, on_column = SITINGS[coding.siting]
    rows, columns = window
    # One row and column before, for chroma that lies on luma samples.
    above, left = min(rows.start, 1), min(columns.start, 1)
    read = picture[rows.start - above : rows.stop, columns.start - left : columns.stop]
    rgb = np.clip(read, 0, 1)
    y = rgb @ weights
    _write(planes[0][window], y[above:, left:], coding.luma, coding)
    half = tuple(slice(span.start // 2, span.stop // 2) for span in window)
    for channel, share, plane in ((2, blue, planes[1]), (0, red, planes[2])):
        full = rgb[..., channel] - y
        small = _halved(_halved(full, 0, above, on_row), 1, left, on_column)
        small *= np.float32(0.5 / (1 - share))
        _write(plane[half], small, coding.chroma, coding)


def _write(
    plane: np.ndarray, values: np.ndarray, scale: tuple[float, float], coding: Coding
) -> None:
    codes = np.rint(values * np.float32(scale[1]) + np.float32(scale[0]))
    whole = np.clip(codes, 0, 2**coding.bits - 1).astype(plane.dtype)
    plane[...] = whole << coding.shift if coding.shift else whole


def _halved(samples: np.ndarray, axis: int, first: int, on_sample: bool) -> np.ndarray:
    """Half as many samples along ``axis``: (1 2 1)/4 on samples, else means of two.

    The stretch begins at ``first``, 0 or 1; what lies before it is there for (1 2 1)/4, which
    takes the first sample twice where nothing does.
    """
    moved = samples.swapaxes(0, axis)
    even, odd = moved[first::2], moved[first + 1 :: 2]
    if on_sample:
        before = moved[:-1:2] if first else np.concatenate([even[:1], odd[:-1]])
        half = before * np.float32(0.25) + even * np.float32(0.5) + odd * np.float32(0.25)
    else:
        half = (even + odd) * np.float32(0.5)
    return np.asarray(half.swapaxes(0, axis))
