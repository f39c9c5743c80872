"""Kernels of YUV 4:2:0, to planes of RGB and back; they round as :mod:`edgeexpo.runtime.yuv`."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.rows import ROUNDING


@compiled
def read_yuv(
    luma: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    on_row: bool,
    on_column: bool,
    factors: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
) -> None:
    """Convert a window that starts and stops on even numbers.

    Args:
        luma: HxW codes.
        u, v: (H/2+2)x(W/2+2) int16 codes minus the code of grey, with one sample more on each side.
        on_row, on_column: Whether samples of chroma lie on rows and columns of luma.
        factors: Code of black, codes from black to white, and what chroma adds a unit: V to red, U
            and V to green, U to blue.
        red, green, blue: HxW float32, clipped to [0, 1].
    """
    height, width = luma.shape
    tall = np.empty(u.shape[1], np.int16)
    cb, cr = np.empty(width, np.int16), np.empty(width, np.int16)
    for y in range(height):
        for plane, wide in ((u, cb), (v, cr)):
            here = y // 2 + 1
            if on_row and y % 2 == 0:
                _twice(plane[here], tall)
            elif on_row:
                _sum(plane[here], plane[here + 1], tall)
            else:
                _thrice_and(plane[here], plane[here + 2 * (y % 2) - 1], tall)
            if on_column:
                _spread_on(tall, wide)
            else:
                _spread_between(tall, wide)
        _to_rgb(luma[y], cb, cr, factors, red[y], green[y], blue[y])


@compiled
def _twice(samples: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        out[At(n)] = samples[At(n)] * np.int16(2)


@compiled
def _sum(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        out[At(n)] = a[At(n)] + b[At(n)]


@compiled
def _thrice_and(near: np.ndarray, far: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        out[At(n)] = near[At(n)] * np.int16(3) + far[At(n)]


@compiled
def _spread_on(samples: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out) // 2):
        here, after = samples[At(n + 1)], samples[At(n + 2)]
        out[At(2 * n)] = here * np.int16(2)
        out[At(2 * n + 1)] = here + after


@compiled
def _spread_between(samples: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out) // 2):
        thrice = samples[At(n + 1)] * np.int16(3)
        out[At(2 * n)] = samples[At(n)] + thrice
        out[At(2 * n + 1)] = samples[At(n + 2)] + thrice


@compiled
def _to_rgb(
    luma: np.ndarray,
    cb: np.ndarray,
    cr: np.ndarray,
    factors: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
) -> None:
    black, span = factors[0], factors[1]
    to_red, u_to_green, v_to_green, to_blue = factors[2], factors[3], factors[4], factors[5]
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(luma)):
        x = At(n)
        y = (np.float32(luma[x]) - black) / span
        u, v = np.float32(cb[x]), np.float32(cr[x])
        red[x] = min(max(v * to_red + y, zero), one)
        green[x] = min(max(y + u * u_to_green + v * v_to_green, zero), one)
        blue[x] = min(max(u * to_blue + y, zero), one)


@compiled
def write_yuv(
    rgb: np.ndarray,
    top: int,
    left: int,
    on_row: bool,
    on_column: bool,
    factors: np.ndarray,
    shift: int,
    luma: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
) -> None:
    """Convert a window to codes.

    Args:
        rgb: 3x(H+top)x(W+left) float32, the window and what precedes it. Clipped in place.
        top, left: Number of rows and columns that precede the window. Without one, the border's
            are repeated.
        on_row, on_column: Whether samples of chroma lie on rows and columns of luma.
        factors: Shares of red, green and blue, code of black, codes from black to white, code of
            grey, codes a unit of U and of V, and the largest code.
        shift: Number of unused lower bits.
        luma: HxW codes.
        u, v: H/2xW/2 codes.
    """
    height, width = luma.shape
    length, earliest = width + left, -min(top, 1)
    lines = np.empty((3, length), np.float32)
    full, small = np.empty((3, length), np.float32), np.empty(length, np.float32)
    gathered, scale = np.empty(width // 2, np.float32), np.float32(1 << shift)
    for y in range(earliest, height):
        at, keep = y + top, (y + 1) % 3
        _luma(rgb[0, at], rgb[1, at], rgb[2, at], factors, lines[keep])
        if y < 0:
            continue
        _code(lines[keep][left:], factors[4], factors[3], factors[8], scale, luma[y])
        if y % 2 == 0:
            continue
        for channel, share, plane in ((2, factors[6], u), (0, factors[7], v)):
            for back in range(3):
                row = max(y - 2 + back, earliest)
                _subtract(rgb[channel, row + top], lines[(row + 1) % 3], full[back])
            if on_row:
                _gather_rows_on(full[0], full[1], full[2], small)
            else:
                _gather_rows(full[1], full[2], small)
            if on_column:
                _gather_on(small, left, gathered)
            else:
                _gather(small[left:], gathered)
            _code(gathered, share, factors[5], factors[8], scale, plane[y // 2])


@compiled
def _luma(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, factors: np.ndarray, out: np.ndarray
) -> None:
    """Clip a row and write its luma."""
    of_red, of_green, of_blue = factors[0], factors[1], factors[2]
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(out)):
        x = At(n)
        r, g, b = (
            min(max(red[x], zero), one),
            min(max(green[x], zero), one),
            min(max(blue[x], zero), one),
        )
        red[x], blue[x] = r, b
        out[x] = r * of_red + g * of_green + b * of_blue


@compiled
def _subtract(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        out[At(n)] = a[At(n)] - b[At(n)]


@compiled
def _gather_rows_on(
    before: np.ndarray, here: np.ndarray, after: np.ndarray, out: np.ndarray
) -> None:
    for n in range(len(out)):
        x = At(n)
        out[x] = (here[x] + before[x]) + (after[x] + here[x])


@compiled
def _gather_rows(here: np.ndarray, after: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        out[At(n)] = here[At(n)] + after[At(n)]


@compiled
def _gather_on(samples: np.ndarray, left: int, out: np.ndarray) -> None:
    """Sum by weights 1 2 1 around every second sample; without ``left`` the first is repeated."""
    for n in range(1 - min(left, 1), len(out)):
        x = At(2 * n + left)
        before, here, after = samples[x - At(1)], samples[x], samples[x + At(1)]
        out[At(n)] = (here + before) + (after + here)
    if not left:
        out[0] = (samples[0] + samples[0]) + (samples[1] + samples[0])


@compiled
def _gather(samples: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(out)):
        x = At(2 * n)
        out[At(n)] = samples[x] + samples[x + At(1)]


@compiled
def _code(
    values: np.ndarray,
    span: np.float32,
    zero: np.float32,
    most: np.float32,
    scale: np.float32,
    codes: np.ndarray,
) -> None:
    none = np.float32(0)
    for n in range(len(codes)):
        value = (values[At(n)] * span + zero) + ROUNDING - ROUNDING
        codes[At(n)] = np.int32(min(max(value, none), most) * scale)
