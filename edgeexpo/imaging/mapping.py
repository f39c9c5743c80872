"""Intensity mapping functions (IMF): the code that a pixel would have at another exposure.

An IMF is a (256, 3) float64 look-up table in [0, 1], ``imf[code, channel]``, that never decreases.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.raster import Raster, strips
from edgeexpo.imaging.scratch import interp, kept, planes, scope, scratch_array

Lut = npt.NDArray[np.float64]
"""A look-up table of codes, or another float64 array over codes."""

CODES = 256
"""Number of 8-bit codes."""

LOWEST, HIGHEST = 6, 250
"""Lowest and highest codes that carry information about radiance.

Codes below are dominated by quantisation and noise, codes above by clipping."""


def exposure_mapping(table: Lut, ev: float) -> Lut:
    """Return the IMF of a known response: ``L(z) = F(2**ev * Finv(z))``, clamped at both ends.

    Args:
        table: (256, 3) inverse response, as in :mod:`edgeexpo.imaging.response`.
        ev: log2 of the exposure ratio, negative to darken.

    Returns:
        (256, 3) float64 in [0, 1].
    """
    imf = scratch_array((CODES, 3), np.float64)
    with scope():
        for channel in range(3):
            curve, brighter = scratch_array((2, CODES), np.float64)
            curve[...] = table[:, channel]
            np.multiply(curve, 2.0**ev, out=brighter)
            imf[:, channel] = interp(brighter, curve, codes())
    return imf


def square_roots(table: Lut, ev: float) -> tuple[Lut, Lut]:
    """Return the two IMFs to the exposure half way between two frames.

    L13 brightens the shorter exposure and L23 darkens the longer exposure. L13 is the functional
    square root of the IMF of the whole ratio: ``L13(L13(z)) = F(2**ev Finv(z))`` where nothing
    clips. L23 is the functional square root of the inverse IMF.

    Both stay the same when radiance is raised to a power and ``ev`` is scaled by that power.
    Hence they are determined even when the response and the exposure times are unknown.

    Args:
        table: (256, 3) inverse response, as in :mod:`edgeexpo.imaging.response`.
        ev: log2 of the whole exposure ratio.

    Returns:
        L13 and L23, each (256, 3) float64 in [0, 1].
    """
    return exposure_mapping(table, ev / 2), exposure_mapping(table, -ev / 2)


def histogram_mapping(source: Raster, target: Raster) -> Lut:
    """Estimate an IMF by cumulative matching, ``L(z) = H2inv(H1(z))`` for each channel.

    Follows M. D. Grossberg and S. K. Nayar, "Determining the camera response from images: what is
    knowable?", IEEE TPAMI 25(11), 2003. The frames need no registration.

    Args:
        source: HxWx3 in [0, 1], display-encoded, read as 8-bit codes.
        target: HxWx3 in [0, 1], the same scene at another exposure, read as 8-bit codes.

    Returns:
        (256, 3) float64 in [0, 1], from codes of ``source`` to codes of ``target``.
    """
    h1, h2 = histograms(source), histograms(target)
    imf = scratch_array((CODES, 3), np.float64)
    for channel in range(3):
        imf[:, channel] = interp(_middle(h1[channel]), *_support(h2[channel]))
    return imf


def matched_codes(under: Raster, over: Raster) -> tuple[Lut, Lut, Lut]:
    """Find pairs of codes with equal radiance by cumulative matching over all channels.

    Args:
        under: HxWx3 in [0, 1], the shorter exposure, read as 8-bit codes.
        over: HxWx3 in [0, 1], the longer exposure, read as 8-bit codes.

    Returns:
        Codes in ``under``, codes in ``over`` (both (N,), in [0, 1], without clipped codes) and the
        share of pixels behind each pair, (N,). N is 0 when no code is well exposed in both frames.
    """
    h1, h2 = histograms(under), histograms(over)
    pairs = scratch_array((3, 3 * CODES), np.float64)
    found = 0
    with scope():
        for c in range(3):
            matched = interp(_middle(h2[c]), *_support(h1[c]))
            code = np.multiply(matched, CODES - 1, out=scratch_array(matched.shape, np.float64))
            keep = (h2[c] > 0) & (code >= LOWEST) & (code <= HIGHEST)
            keep[:LOWEST] = keep[HIGHEST + 1 :] = False
            count = int(np.count_nonzero(keep))
            for row, values in zip(pairs, (matched, codes(), h2[c]), strict=True):
                row[found : found + count] = kept(values, keep)
            found += count
    low, high, share = pairs[:, :found]
    return low, high, share


def histograms(frame: Raster) -> Lut:
    """Return the share of pixels at each 8-bit code: (3, 256) float64, each row sums to 1.

    Args:
        frame: HxWx3 in [0, 1], read as 8-bit codes in strips of rows.
    """
    height, width = frame.shape[:2]
    shares = scratch_array((3, CODES), np.float64)
    shares.fill(0)
    if isinstance(frame, CodedPicture) and frame.codes.dtype == np.uint8:
        _count(frame, shares)
        shares /= max(1, height * width)
        return shares
    for window in strips(frame.shape):
        with scope():
            part = planes(frame[window])
            values, index = scratch_array(part.shape[1:]), scratch_array(part.shape[1:], np.intp)
            for plane, share in zip(part, shares, strict=True):
                np.rint(np.multiply(plane, CODES - 1, out=values), out=values)
                np.copyto(index, values, casting="unsafe")
                share += np.bincount(index.reshape(-1), minlength=CODES)
    shares /= max(1, height * width)
    return shares


def _count(frame: CodedPicture, counts: Lut) -> None:
    """Add the number of pixels at each code of a picture of bytes to ``counts``."""
    kernels = kernel_module("mapping")
    for window in strips(frame.shape):
        with scope():
            if kernels is not None:
                rows = frame.packed(window)
                kernels.count_codes(rows.reshape(len(rows), -1), counts)
                continue
            part = planes(frame.codes[window])
            index = scratch_array(part.shape[1:], np.intp)
            for plane, count in zip(part, counts, strict=True):
                np.copyto(index, plane)
                count += np.bincount(index.reshape(-1), minlength=CODES)


def _middle(histogram: Lut) -> Lut:
    middle = scratch_array(histogram.shape, np.float64)
    np.cumsum(histogram, out=middle)
    with scope():
        half = scratch_array(histogram.shape, np.float64)
        middle -= np.multiply(histogram, 0.5, out=half)
    return middle


def _support(histogram: Lut) -> tuple[Lut, Lut]:
    seen = histogram > 0
    return kept(_middle(histogram), seen), kept(codes(), seen)


@functools.cache
def codes() -> Lut:
    """Return the 256 codes as values in [0, 1], (256,) float64."""
    return np.linspace(0.0, 1.0, CODES)
