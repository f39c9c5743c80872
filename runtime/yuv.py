"""YUV 4:2:0 to RGB and back: matrices, ranges, and where chroma samples lie.

Work is done in strips of rows: nothing but the result has the size of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

MATRICES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
)
"""Weights of red and blue in luma."""

SITINGS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {"left": (False, True), "center": (False, False), "topleft": (True, True)}
)
"""Where a chroma sample lies: on a luma sample's row, on its column; else half way to the next."""

ROWS = 64
"""Height of a strip."""

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


def yuv_to_rgb(planes: Planes, coding: Coding) -> np.ndarray:
    """HxWx3 float32 RGB in [0,1]; chroma is interpolated bilinearly."""
    red, blue = MATRICES[coding.matrix]
    green = 1 - red - blue
    black, span = coding.luma
    luma, *chroma = planes
    height, width = luma.shape
    picture = np.empty((height, width, 3), np.float32)
    for top in range(0, height, ROWS):
        rows = slice(top, min(top + ROWS, height))
        y = ((luma[rows] >> coding.shift).astype(np.float32) - np.float32(black)) / np.float32(span)
        u, v = (_doubled(plane, rows, coding) for plane in chroma)
        strip = picture[rows]
        strip[..., 0] = y + np.float32(2 * (1 - red)) * v
        strip[..., 2] = y + np.float32(2 * (1 - blue)) * u
        strip[..., 1] = (
            y
            - np.float32(2 * blue * (1 - blue) / green) * u
            - np.float32(2 * red * (1 - red) / green) * v
        )
        np.clip(strip, 0, 1, out=strip)
    return picture


def _doubled(plane: np.ndarray, rows: slice, coding: Coding) -> np.ndarray:
    """Chroma of ``rows`` of the picture, centred on 0, at the picture's size."""
    (grey, span), (on_row, on_column) = coding.chroma, SITINGS[coding.siting]
    indices = np.arange(rows.start // 2 - 1, rows.stop // 2 + 1)
    part = plane[np.clip(indices, 0, len(plane) - 1)] >> coding.shift
    centred = (part.astype(np.float32) - np.float32(grey)) / np.float32(span)
    tall = _interpolated(centred, 0, on_row)
    wide = np.concatenate([tall[:, :1], tall, tall[:, -1:]], axis=1)
    return _interpolated(wide, 1, on_column)


def _interpolated(samples: np.ndarray, axis: int, on_sample: bool) -> np.ndarray:
    """Twice as many samples along ``axis``; the first and the last only have neighbours."""
    moved = samples.swapaxes(0, axis)
    before, middle, after = moved[:-2], moved[1:-1], moved[2:]
    out = np.empty((2 * len(middle), *middle.shape[1:]), np.float32)
    if on_sample:
        out[0::2] = middle
        out[1::2] = (middle + after) * np.float32(0.5)
    else:
        out[0::2] = middle * np.float32(0.75) + before * np.float32(0.25)
        out[1::2] = middle * np.float32(0.75) + after * np.float32(0.25)
    return out.swapaxes(0, axis)


def rgb_to_yuv(picture: np.ndarray, planes: Planes, coding: Coding) -> None:
    """Write a HxWx3 float32 RGB picture into planes; what is outside [0,1] is clipped."""
    red, blue = MATRICES[coding.matrix]
    weights = np.array([red, 1 - red - blue, blue], np.float32)
    on_row, on_column = SITINGS[coding.siting]
    for top in range(0, len(picture), ROWS):
        bottom = min(top + ROWS, len(picture))
        # One row more above, for chroma that lies on rows.
        rgb = np.clip(picture[max(top - 1, 0) : bottom], 0, 1)
        y = rgb @ weights
        _write(planes[0][top:bottom], y[top - bottom :], coding.luma, coding)
        for channel, share, plane in ((2, blue, planes[1]), (0, red, planes[2])):
            full = (rgb[..., channel] - y) * np.float32(0.5 / (1 - share))
            if top == 0:
                full = np.concatenate([full[:1], full])
            low = _halved(full, 0, on_row)
            small = _halved(np.concatenate([low[:, :1], low], axis=1), 1, on_column)
            _write(plane[top // 2 : bottom // 2], small, coding.chroma, coding)


def _write(
    plane: np.ndarray, values: np.ndarray, scale: tuple[float, float], coding: Coding
) -> None:
    codes = np.rint(values * np.float32(scale[1]) + np.float32(scale[0]))
    whole = np.clip(codes, 0, 2**coding.bits - 1).astype(plane.dtype)
    plane[...] = whole << coding.shift if coding.shift else whole


def _halved(samples: np.ndarray, axis: int, on_sample: bool) -> np.ndarray:
    """Half as many samples along ``axis``: (1 2 1)/4 on samples, else means of two.

    The first of ``samples`` lies before the stretch.
    """
    moved = samples.swapaxes(0, axis)
    before, even, odd = moved[0:-1:2], moved[1::2], moved[2::2]
    half, quarter = np.float32(0.5), np.float32(0.25)
    out = before * quarter + even * half + odd * quarter if on_sample else (even + odd) * half
    return np.asarray(out.swapaxes(0, axis))
