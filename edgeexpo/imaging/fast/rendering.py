"""Kernels of rendering: a window of the picture from small maps and the frames."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.fast import At, compiled
from edgeexpo.imaging.fast.affine import clip_row, subtract, turn
from edgeexpo.imaging.fast.codes import read_pixels, write_row
from edgeexpo.imaging.fast.rows import copy_row

_BLOCK = 512
"""Pixels of a row that are computed together, in the processor's nearest caches."""

_DARKEST, _BRIGHTER = np.float32(1e-4), np.float32(4)
"""Bounds of the change of luma, as in :mod:`edgeexpo.imaging.rendering`."""

_Near = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Type of two neighbouring rows of maps, enlarged, and of their difference, 1xCxN each."""

_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)


@compiled
def render(
    structure: np.ndarray,
    tone: np.ndarray,
    frames: np.ndarray,
    structure_rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    structure_columns: tuple[np.ndarray, np.ndarray],
    tone_rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    tone_columns: tuple[np.ndarray, np.ndarray],
    out: np.ndarray,
) -> None:
    """Enlarge a window of the maps, and render the frames with them.

    Args:
        structure, tone: The maps, 1xCxhxw float32.
        frames: 3NxHxW float32, the window of N frames.
        structure_rows: Rows of the structure's maps around each of H rows, and the second's weight.
        structure_columns: Columns before each of W columns, and the weight of the next one.
        tone_rows, tone_columns: The same in the maps of the tone.
        out: 3xHxW float32, overwritten with numbers in [0, 1].
    """
    channels, height, width = frames.shape
    near, tone_near = _memory(structure), _memory(tone)
    seen, lines = np.empty((channels, _BLOCK), np.float32), np.empty((3, _BLOCK), np.float32)
    memory = np.empty((3, _BLOCK), np.float32)
    for left in range(0, width, _BLOCK):
        stop = min(left + _BLOCK, width)
        last, tone_last = -1, -1
        for y in range(height):
            last = _advance(structure, structure_rows, structure_columns, y, left, last, near)
            tone_last = _advance(tone, tone_rows, tone_columns, y, left, tone_last, tone_near)
            for i in range(channels):
                copy_row(frames[i, y, left:stop], seen[i])
            down, tone_down = structure_rows[2][y], tone_rows[2][y]
            _render_row(near, down, tone_near, tone_down, seen, memory, lines, stop - left)
            for k in range(3):
                clip_row(lines[k], out[k, y, left:stop])


@compiled
def render_to_bytes(
    structure: np.ndarray,
    tone: np.ndarray,
    frames: tuple[np.ndarray, ...],
    top: int,
    left: int,
    structure_rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    structure_columns: tuple[np.ndarray, np.ndarray],
    tone_rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    tone_columns: tuple[np.ndarray, np.ndarray],
    out: np.ndarray,
    out_top: int,
    out_left: int,
) -> None:
    """Do as :func:`render` does, from codes to bytes, without float copies of the window.

    Args:
        structure, tone, structure_rows, structure_columns, tone_rows, tone_columns: As there.
        frames: Interleaved codes, rows of 3 numbers a pixel.
        top, left: First row and column of the window in the frames.
        out: Interleaved bytes, clipped and rounded.
        out_top, out_left: First row and column of the window in ``out``.
    """
    channels, count = 3 * len(frames), len(tone_columns[1])
    most = np.float32(np.iinfo(frames[0].dtype).max)
    near, tone_near = _memory(structure), _memory(tone)
    seen, lines = np.empty((channels, _BLOCK), np.float32), np.empty((3, _BLOCK), np.float32)
    memory, rounded = np.empty((3, _BLOCK), np.float32), np.empty((3, _BLOCK), np.int32)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        last, tone_last = -1, -1
        for y in range(len(tone_rows[2])):
            last = _advance(structure, structure_rows, structure_columns, y, start, last, near)
            tone_last = _advance(tone, tone_rows, tone_columns, y, start, tone_last, tone_near)
            read_pixels(frames, top + y, left + start, size, most, seen)
            down, tone_down = structure_rows[2][y], tone_rows[2][y]
            _render_row(near, down, tone_near, tone_down, seen, memory, lines, size)
            at = 3 * (out_left + start)
            row = out[out_top + y, at : at + 3 * size]
            write_row(lines[0, :size], lines[1, :size], lines[2, :size], rounded, row)


@compiled
def _memory(maps: np.ndarray) -> _Near:
    """Return memory for two rows of the maps, enlarged, and for their difference."""
    first = np.empty((1, maps.shape[1], _BLOCK), np.float32)
    return first, np.empty_like(first), np.empty_like(first)


@compiled
def _advance(
    maps: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
    y: int,
    left: int,
    last: int,
    near: _Near,
) -> int:
    """Enlarge the two rows of the maps around row ``y`` unless ``last`` says that they are there.

    Returns:
        The upper of the two rows.
    """
    upper = rows[0][y]
    if upper != last:
        known = last >= 0 and upper == last + 1
        first, second, step = near
        turn(maps, upper, rows[1][y], known, columns[0], columns[1], left, first, second)
        subtract(second, first, step)
    return int(upper)


@compiled
def _render_row(
    near: _Near,
    down: np.float32,
    tone_near: _Near,
    tone_down: np.float32,
    seen: np.ndarray,
    memory: np.ndarray,
    out: np.ndarray,
    size: int,
) -> None:
    """Render ``size`` pixels of a row, 3xN.

    Args:
        near, down: Rows of the structure's maps, and the share of the second one.
        tone_near, tone_down: The same for the tone.
        seen: The frames, 3NxN.
        memory: Memory of 3xN.
        out: 3xN float32, overwritten, not clipped.
    """
    count = len(seen) // 3
    first, step = near[0][0], near[2][0]
    tone, tone_step = tone_near[0][0], tone_near[2][0]
    for c in range(3):
        line = out[c]
        if len(first) == 0:
            copy_row(seen[c, :size], line)
            continue
        _map_row(first[count + c], step[count + c], down, line, size)
        for f in range(count):
            weight, change, frame = first[f], step[f], seen[3 * f + c]
            for n in range(size):
                x = At(n)
                line[x] += (weight[x] + change[x] * down) * frame[x]
        for n in range(size):
            line[At(n)] = min(max(line[At(n)], np.float32(0)), np.float32(1))
    before, after, ratio = memory[0], memory[1], memory[2]
    _luma_row(out[0], out[1], out[2], before, size)
    for n in range(size):
        after[At(n)] = max(before[At(n)], _DARKEST)
    for f in range(count):
        slope, change = tone[f], tone_step[f]
        _luma_row(seen[3 * f], seen[3 * f + 1], seen[3 * f + 2], ratio, size)
        for n in range(size):
            x = At(n)
            after[x] += (slope[x] + change[x] * tone_down) * ratio[x]
    level, level_step = tone[count], tone_step[count]
    gain, gain_step = tone[count + 1], tone_step[count + 1]
    for n in range(size):
        x = At(n)
        value = after[x] + (level[x] + level_step[x] * tone_down)
        value = min(max(value, np.float32(0)), np.float32(1))
        after[x] = value
        share = min(value / max(before[x], _DARKEST), _BRIGHTER)
        ratio[x] = share * (gain[x] + gain_step[x] * tone_down)
    for c in range(3):
        line = out[c]
        for n in range(size):
            x = At(n)
            line[x] = (line[x] - before[x]) * ratio[x] + after[x]
        if len(tone) > count + 2:
            hue, change = tone[count + 2 + c], tone_step[count + 2 + c]
            for n in range(size):
                x = At(n)
                line[x] += hue[x] + change[x] * tone_down


@compiled
def _map_row(
    first: np.ndarray, step: np.ndarray, down: np.float32, out: np.ndarray, size: int
) -> None:
    for n in range(size):
        out[At(n)] = first[At(n)] + step[At(n)] * down


@compiled
def _luma_row(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, out: np.ndarray, size: int
) -> None:
    for n in range(size):
        x = At(n)
        out[x] = red[x] * _RED + green[x] * _GREEN + blue[x] * _BLUE
