"""Interpolation of the exposure half way between two frames, from intensity mapping alone.

Follows C. Zheng, Z. Li, Y. Yang, S. Wu, "Exposure interpolation via hybrid learning", ICASSP 2020.
The weights are applied as in the authors' code: the weight that is zero for dark pixels belongs to
the short exposure. The weight that is zero for saturated pixels belongs to the long exposure.
"""

from __future__ import annotations

import functools
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import mapping
from edgeexpo.imaging import response as responses
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.mapping import CODES
from edgeexpo.imaging.raster import Computed, Raster, Window, sides, whole_picture
from edgeexpo.imaging.scratch import planes, row_planes, scope, scratch_array


def intermediate(
    under: npt.ArrayLike,
    over: npt.ArrayLike,
    *,
    ev: float | None,
    response: str | npt.ArrayLike = "fitted",
    xi_lower: float = 5,
    xi_upper: float = 250,
    levels: int | None = None,
) -> Picture:
    """Predict the exposure whose time is the geometric mean of two others.

    ``y0 = (W_lo(x1) L13(x1) + W_hi(x2) L23(x2)) / (W_lo(x1) + W_hi(x2))`` for each channel. 1e-6
    is added to each weight, so that a pixel that both frames show badly gets the average.

    Args:
        under: HxWx3 in [0, 1], sRGB-encoded, the shorter exposure. Values are codes of an 8-bit
            camera. Between codes the look-up tables are interpolated linearly.
        over: HxWx3 in [0, 1], of the same size and encoding, the longer exposure.
        ev: log2 of the exposure ratio over/under, > 0, or ``None`` when unknown. When unknown,
            the histograms of both frames determine the mapping and its functional square root.
        response: ``"fitted"`` to these frames, ``"srgb"``, or a (256, 3) inverse response table.
        xi_lower: Code below which the short exposure has no weight, in [0, 55).
        xi_upper: Code from which the long exposure has no weight, in (200, 255].
        levels: Number of levels to which the result is rounded, in multiples of ``1 / levels``.
            255 makes the result exact as the 8-bit input of a network. ``None`` does not round.

    Returns:
        HxWx3 float32 in [0, 1], encoded as the frames are.

    Raises:
        PictureError: The frames are not HxWx3 or differ in size.
        UsageError: ``ev`` is not positive, the response is unknown, or ``xi_lower`` or
            ``xi_upper`` is out of range.
    """
    x1, x2 = _frame("under", under), _frame("over", over)
    picture = intermediate_by_windows(
        x1, x2, ev=ev, response=response, xi_lower=xi_lower, xi_upper=xi_upper, levels=levels
    )
    return np.ascontiguousarray(whole_picture(picture))


def intermediate_by_windows(
    under: Raster,
    over: Raster,
    *,
    ev: float | None,
    response: str | npt.ArrayLike = "fitted",
    xi_lower: float = 5,
    xi_upper: float = 250,
    levels: int | None = None,
) -> Raster:
    """Compute :func:`intermediate` one window at a time.

    The frames are read once for their histograms, unless the response and ``ev`` are known. They
    are read again for each window.

    Args:
        under: HxWx3 raster, float32 in [0, 1], sRGB-encoded, the shorter exposure.
        over: HxWx3 raster of the same size, range and encoding, the longer exposure.
        ev, response, xi_lower, xi_upper, levels: As for :func:`intermediate`.

    Returns:
        HxWx3 raster, float32 in [0, 1], encoded as the frames are.

    Raises:
        PictureError: The frames differ in size.
        UsageError: ``ev`` is not positive, the response is unknown, or ``xi_lower`` or
            ``xi_upper`` is out of range.
    """
    if under.shape != over.shape:
        raise PictureError(
            f"under is {_size(under)}, over is {_size(over)}; expected the same size"
        )
    if ev is not None and not ev > 0:
        raise UsageError(f"ev is {ev}; expected log2 of the ratio over/under, such as 4")
    lift, lower = _mappings(under, over, ev, response)
    weight_low, weight_high = weights(xi_lower, xi_upper)

    if _bytes(under) and _bytes(over):
        table = _table(weight_low, weight_high, lift, lower, levels)
        return Computed(under.shape, lambda window, out: _pairs(under, over, table, window, out))

    def compute(window: Window, out: np.ndarray) -> None:
        frames = [
            (planes(under[window]), weight_low, lift),
            (planes(over[window]), weight_high, lower),
        ]
        for channel, mixed in enumerate(planes(out)):
            with scope():
                total, part = scratch_array(mixed.shape), scratch_array(mixed.shape)
                total.fill(0)
                mixed.fill(0)
                for frame, weight, lut in frames:
                    share, value = _looked_up(frame[channel], weight, lut[channel])
                    total += share
                    mixed += np.multiply(share, value, out=part)
                mixed /= total
        _round(out, levels)

    return Computed(under.shape, compute)


def _bytes(frame: Raster) -> TypeGuard[CodedPicture]:
    return isinstance(frame, CodedPicture) and frame.codes.dtype == np.uint8


def _round(values: Picture, levels: int | None) -> None:
    """Round values to multiples of ``1 / levels`` in place."""
    if levels is not None:
        values *= np.float32(levels)
        np.rint(values, out=values)
        values /= np.float32(levels)


def _table(
    weight_low: Picture, weight_high: Picture, lift: Picture, lower: Picture, levels: int | None
) -> Picture:
    """Return the value of every pair of 8-bit codes, 3x256x256: the darker frame's code first."""
    table = scratch_array((3, CODES, CODES))
    with scope():
        total, part = scratch_array((CODES, CODES)), scratch_array((CODES, CODES))
        np.add(weight_low[:, None], weight_high, out=total)
        for values, low, high in zip(table, lift, lower, strict=True):
            np.multiply(weight_low, low, out=part[0])
            np.multiply(weight_high, high, out=part[1])
            np.add(part[0, :, None], part[1], out=values)
            values /= total
        _round(table, levels)
    return table


def _pairs(
    under: CodedPicture, over: CodedPicture, table: Picture, window: Window, out: Picture
) -> None:
    """Look the pairs of codes in a window up in the table."""
    kernels = kernel_module("mapping")
    if kernels is not None:
        first, second = under.packed(window), over.packed(window)
        rows = [codes.reshape(len(codes), -1) for codes in (first, second)]
        made = (
            row_planes(out)
            if out[..., 0].flags.c_contiguous
            else scratch_array((3, *sides(window)))
        )
        kernels.look_up_pairs(*rows, table, made[0], made[1], made[2])
        if not np.may_share_memory(made, out):
            np.copyto(planes(out), made)
        return
    size = sides(window)
    pairs, index = scratch_array((*size, 2), np.uint8), scratch_array(size, np.intp)
    for channel, values in enumerate(planes(out)):
        np.copyto(pairs[..., 0], over.codes[window][..., channel])
        np.copyto(pairs[..., 1], under.codes[window][..., channel])
        np.copyto(index, pairs.view("<u2")[..., 0])
        table[channel].reshape(-1).take(index, out=values, mode="clip")


@functools.lru_cache
def weights(xi_lower: float, xi_upper: float) -> tuple[Picture, Picture]:
    """Return the weight of each code: W_lo for ``under`` and W_hi for ``over``.

    Returns:
        Two (256,) float32 arrays, 1e-6 included, read-only.

    Raises:
        UsageError: ``xi_lower`` is not in [0, 55) or ``xi_upper`` not in (200, 255].
    """
    if not 0 <= xi_lower < 55 or not 200 < xi_upper <= 255:
        raise UsageError(f"xi is {xi_lower}, {xi_upper}; expected 0 <= lower < 55, 200 < upper")
    z = np.arange(256, dtype=np.float64)
    h = (55 - z) / (55 - xi_lower)
    low = np.where(z < xi_lower, 0, np.where(z < 55, 1 - 3 * h**2 + 2 * h**3, 1))
    h = (z - 200) / (xi_upper - 200)
    high = np.where(z < 200, 1, np.where(z < xi_upper, 1 - 3 * h**2 + 2 * h**3, 0))
    tables = (low + 1e-6).astype(np.float32), (high + 1e-6).astype(np.float32)
    for table in tables:
        table.flags.writeable = False
    return tables


def _mappings(
    x1: Raster, x2: Raster, ev: float | None, chosen: str | npt.ArrayLike
) -> tuple[Picture, Picture]:
    if isinstance(chosen, str):
        if chosen not in ("fitted", "srgb"):
            raise UsageError(f"response is {chosen!r}; expected 'fitted', 'srgb' or a table")
        table = None if chosen == "fitted" else responses.srgb()
    else:
        table = responses.checked(chosen)
    if table is None:
        table, ev = responses.fit_response(x1, x2, ev)
    elif ev is None:
        ev = responses.estimate_ev(x1, x2, table)
    lift, lower = mapping.square_roots(table, ev)
    by_channel = scratch_array((2, 3, CODES))
    by_channel[0] = lift.T
    by_channel[1] = lower.T
    return by_channel[0], by_channel[1]


def _looked_up(values: Picture, weight: Picture, lut: Picture) -> tuple[Picture, Picture]:
    """Look up the weight and the mapped value of each of HxW values.

    Values between two codes are interpolated linearly.
    """
    weights, mapped = scratch_array(values.shape), scratch_array(values.shape)
    with scope():
        codes, nearest, index = (
            scratch_array(values.shape),
            scratch_array(values.shape),
            scratch_array(values.shape, np.intp),
        )
        np.multiply(values, np.float32(CODES - 1), out=codes)
        np.rint(codes, out=nearest)
        codes -= nearest
        if np.abs(codes, out=codes).max(initial=0) < 1e-3:
            np.copyto(index, nearest, casting="unsafe")
            for table, out in ((weight, weights), (lut, mapped)):
                table.take(index, out=out, mode="clip")
            return weights, mapped
        np.multiply(values, np.float32(CODES - 1), out=codes)
        np.copyto(index, np.minimum(codes, CODES - 2, out=nearest), casting="unsafe")
        np.copyto(nearest, index)
        codes -= nearest
        for table, out in ((weight, weights), (lut, mapped)):
            np.diff(table).take(index, out=out, mode="clip")
            out *= codes
            out += table.take(index, out=nearest, mode="clip")
    return weights, mapped


def _frame(name: str, frame: npt.ArrayLike) -> Picture:
    picture = np.asarray(frame)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype.kind != "f":
        found = "x".join(map(str, picture.shape))
        raise PictureError(f"{name} is {found} {picture.dtype}; expected HxWx3 float in [0, 1]")
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _size(picture: Raster) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
