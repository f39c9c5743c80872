"""Kernels that turn integer codes into numbers in [0, 1] and back."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.rows import ROUNDING

_BLOCK = 512
"""Pixels of a row that are rounded before they are interleaved."""


@compiled
def read_codes(
    codes: np.ndarray, most: np.float32, red: np.ndarray, green: np.ndarray, blue: np.ndarray
) -> None:
    """Divide interleaved codes, Hx3W, by the largest code into three planes, HxW float32."""
    for y in range(len(codes)):
        read_row(codes[y], most, red[y], green[y], blue[y])


@compiled
def write_bytes(red: np.ndarray, green: np.ndarray, blue: np.ndarray, codes: np.ndarray) -> None:
    """Clip three planes, HxW float32, to [0, 1] and round them to interleaved bytes, Hx3W."""
    rounded = np.empty((3, _BLOCK), np.int32)
    for y in range(len(codes)):
        write_row(red[y], green[y], blue[y], rounded, codes[y])


@compiled
def read_row(
    row: np.ndarray, most: np.float32, red: np.ndarray, green: np.ndarray, blue: np.ndarray
) -> None:
    """Divide a row of interleaved codes by the largest code into a row of each plane."""
    for x in range(len(red)):
        at = At(x) * At(3)
        red[At(x)] = np.float32(row[at]) / most
        green[At(x)] = np.float32(row[at + At(1)]) / most
        blue[At(x)] = np.float32(row[at + At(2)]) / most


@compiled
def read_pixels(
    frames: tuple[np.ndarray, ...], y: int, left: int, size: int, most: np.float32, out: np.ndarray
) -> None:
    """Divide ``size`` pixels of a row of every frame, from ``left`` on, into rows of ``out``.

    Args:
        frames: Interleaved codes, rows of 3 numbers a pixel.
        y, left, size: Row, first pixel and number of pixels.
        most: The largest code.
        out: 3NxN float32 for N frames.
    """
    at = 3 * left
    for f in range(len(frames)):
        red, green, blue = out[3 * f], out[3 * f + 1], out[3 * f + 2]
        row = frames[f][y, at : at + 3 * size]
        read_row(row, most, red[:size], green[:size], blue[:size])


@compiled
def write_row(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, rounded: np.ndarray, row: np.ndarray
) -> None:
    """Clip a row of each plane to [0, 1] and round it to interleaved bytes.

    ``rounded`` is memory, 3xN int32.
    """
    block = rounded.shape[1]
    for left in range(0, len(red), block):
        stop = min(left + block, len(red))
        _round(red[left:stop], rounded[0])
        _round(green[left:stop], rounded[1])
        _round(blue[left:stop], rounded[2])
        _interleave(rounded[0], rounded[1], rounded[2], row[3 * left : 3 * stop])


@compiled
def _round(values: np.ndarray, codes: np.ndarray) -> None:
    zero, one, most = np.float32(0), np.float32(1), np.float32(255)
    for x in range(len(values)):
        value = min(max(values[At(x)], zero), one) * most
        codes[At(x)] = np.int32(value + ROUNDING - ROUNDING)


@compiled
def _interleave(red: np.ndarray, green: np.ndarray, blue: np.ndarray, row: np.ndarray) -> None:
    for x in range(len(row) // 3):
        at = At(x) * At(3)
        row[at] = np.uint8(red[At(x)])
        row[at + At(1)] = np.uint8(green[At(x)])
        row[at + At(2)] = np.uint8(blue[At(x)])
