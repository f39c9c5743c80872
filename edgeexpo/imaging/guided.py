"""Apply at full size what a network did at a smaller one: the fast guided filter.

K. He, J. Sun, X. Tang, "Guided image filtering", TPAMI 35(6), 2013, and K. He, J. Sun, "Fast guided
filter", arXiv 1505.00996: in every window the result is an affine function of the guide,
``q = a . I + b``; ``a`` and ``b`` are found at the small size, averaged over windows, enlarged
bilinearly, and applied to the full-size guide.

The published filter shrinks ``a`` towards zero where the guide is flat, which would flatten fine
detail. Here one affine function is fitted to the whole picture first and the filter to what it
leaves over, so that ``a`` shrinks towards that function and an affine change stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import BundleError
from edgeexpo.imaging.color import lab_to_rgb, rgb_to_lab
from edgeexpo.imaging.raster import Computed, Raster, whole
from edgeexpo.imaging.resize import bilinear_taps, resize

Picture = npt.NDArray[np.float32]
_Taps = tuple[npt.NDArray[np.intp], Picture]
Doubles = npt.NDArray[np.float64]

RADIUS, EPS = 2, 1e-4
"""Window radius in pixels of the small size and regulariser, for a side of about 256."""

COLORS = ("rgb", "lab")

_UNSEEN = (1 / 255) ** 2 / 12
"""Variance of rounding to 8 bits: a guide that varies less carries no information."""

_LAB_SCALE = np.array([50, 128, 128], np.float32)
_LAB_SHIFT = np.array([1, 0, 0], np.float32)


def guided_upsampling(
    small: npt.NDArray[np.floating],
    frames: Sequence[npt.NDArray[np.floating]],
    color: str = "rgb",
    radius: int = RADIUS,
    eps: float = EPS,
) -> Picture:
    """Apply to full-size frames what turned their scaled copies into ``small``.

    Args:
        small: hxwx3, what the network gave for frames scaled to hxw by
            :func:`edgeexpo.imaging.resize.resize`; in the network's colours.
        frames: HxWx3 each, sRGB-encoded, [0, 1]; all their channels guide.
        color: The network's colours, in which the filter works too: ``"rgb"`` (sRGB-encoded,
            [0, 1]) or ``"lab"`` (:func:`encode`).
        radius: Window radius, in pixels of ``small``.
        eps: Regulariser: variance of the guide, in the network's units, below which the whole
            picture's affine function counts more than the window's.

    Returns:
        HxWx3 float32, sRGB-encoded, clipped to [0, 1]. When ``small`` has the frames' size it is
        returned as it is (converted from Lab).

    Raises:
        BundleError: Unknown ``color``.
    """
    return whole(guided_by_windows(np.asarray(small, np.float32), frames, color, radius, eps))


def guided_by_windows(
    small: Picture,
    frames: Sequence[Raster],
    color: str = "rgb",
    radius: int = RADIUS,
    eps: float = EPS,
) -> Raster:
    """As :func:`guided_upsampling`, applied a window at a time to frames that are rasters."""
    size = small.shape[:2]
    height, width = frames[0].shape[:2]
    if size == (height, width):
        return decode(small, color)
    guide = _guide([resize(f, size) for f in frames], color)
    coefficients = fit(guide, small, radius, eps)

    planes = np.ascontiguousarray(coefficients.transpose(2, 3, 0, 1))

    def compute(rows: slice, columns: slice) -> np.ndarray:
        part = _guide([np.asarray(f[rows, columns], np.float32) for f in frames], color)
        vertical, horizontal = (
            _window(bilinear_taps(n_in, n_out), span)
            for span, n_in, n_out in zip((rows, columns), size, (height, width), strict=True)
        )
        return decode(_apply(planes, part, vertical, horizontal), color)

    return Computed((height, width, 3), compute)


def encode(rgb: Picture, color: str) -> Picture:
    """sRGB-encoded RGB as a network takes it: as it is, or as ``L/50 - 1, a/128, b/128``.

    Raises:
        BundleError: ``color`` is neither ``"rgb"`` nor ``"lab"``.
    """
    _check_color(color)
    if color == "rgb":
        return rgb
    return np.asarray(rgb_to_lab(rgb) / _LAB_SCALE - _LAB_SHIFT, np.float32)


def decode(picture: Picture, color: str) -> Picture:
    """The inverse of :func:`encode`, clipped to [0, 1]; raises as it does."""
    _check_color(color)
    if color == "lab":
        picture = np.asarray(lab_to_rgb((picture + _LAB_SHIFT) * _LAB_SCALE), np.float32)
    return np.clip(picture, 0, 1)


def fit(guide: Picture, target: Picture, radius: int, eps: float) -> Picture:
    """Find the affine functions that turn the guide into the target around every pixel.

    Args:
        guide: hxwxC.
        target: hxwx3.
        radius: Window radius in pixels; windows end at the border.
        eps: Regulariser.

    Returns:
        hxwx3x(C+1) float32: three rows ``a`` and, last, the constant ``b``.
    """
    height, width, channels = guide.shape
    matrix, offset = _whole(guide, target)
    rest = target - (guide @ matrix.T.astype(np.float32) + offset.astype(np.float32))
    means = _box(guide, radius)
    rest_means = _box(rest, radius)
    covariance = np.empty((height, width, channels, channels), np.float32)
    cross = np.empty((height, width, channels, 3), np.float32)
    for i in range(channels):
        products = np.concatenate([guide[..., i:], rest], 2) * guide[..., i : i + 1]
        expected = np.concatenate([means[..., i:], rest_means], 2) * means[..., i : i + 1]
        moments = _box(products, radius) - expected
        covariance[:, :, i, i:] = covariance[:, :, i:, i] = moments[..., : channels - i]
        cross[:, :, i] = moments[..., channels - i :]
    covariance += np.float32(eps) * np.eye(channels, dtype=np.float32)
    slopes = np.linalg.solve(covariance, cross).transpose(0, 1, 3, 2)
    constants = rest_means - (slopes @ means[..., None])[..., 0]
    local = np.concatenate([slopes, constants[..., None]], 3).reshape(height, width, -1)
    averaged = _box(local, radius).reshape(height, width, 3, channels + 1)
    result: Picture = averaged + np.concatenate([matrix, offset[:, None]], 1).astype(np.float32)
    return result


def _whole(guide: Picture, target: Picture) -> tuple[Doubles, Doubles]:
    """One affine function for the whole picture by least squares: 3xC and 3.

    In directions in which the guide does not vary it is the mean of the frames.
    """
    channels = guide.shape[2]
    mean = np.tile(np.eye(3), channels // 3) / (channels // 3)
    pixels = guide.reshape(-1, channels).astype(np.float64)
    change = target.reshape(-1, 3).astype(np.float64) - pixels @ mean.T
    centre, change_centre = pixels.mean(0), change.mean(0)
    pixels -= centre
    values, vectors = np.linalg.eigh(pixels.T @ pixels / len(pixels))
    cross = vectors.T @ (pixels.T @ change) / len(pixels)
    seen = values > _UNSEEN
    slope = (vectors[:, seen] @ (cross[seen] / values[seen, None])).T
    return mean + slope, change_centre - slope @ centre


def _apply(coefficients: Picture, guide: Picture, rows: _Taps, columns: _Taps) -> Picture:
    """Enlarge a window of the coefficients bilinearly and apply it to the guide's.

    Between two rows of the coefficients the result is ``p + weight q`` with an affine function
    each, so that the coefficients themselves are enlarged along rows only.

    Args:
        coefficients: 3x(C+1)xhxw.
        guide: HxWxC.
        rows, columns: Positions in the coefficients and weights, of the window.
    """
    (above, below), weight = rows[0].T, rows[1]
    lowest = int(above.min())
    needed = coefficients[:, :, lowest : int(below.max()) + 1]
    left = needed.take(columns[0][:, 0], 3)
    left += (needed.take(columns[0][:, 1], 3) - left) * columns[1]
    planes = np.ascontiguousarray(guide.transpose(2, 0, 1))
    result = np.empty((*guide.shape[:2], 3), np.float32)
    starts = np.flatnonzero(np.diff(above, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(above)], strict=True):
        first = left[:, :, above[start] - lowest]
        second = left[:, :, below[start] - lowest]
        part = planes[:, start:stop]
        strip = _affine(second - first, part)
        strip *= weight[start:stop, None]
        strip += _affine(first, part)
        result[start:stop] = strip.transpose(1, 2, 0)
    return result


def _affine(coefficients: Picture, guide: Picture) -> Picture:
    """3xHxW from 3x(C+1)xW, the same for every row, and CxHxW."""
    result: Picture = coefficients[:, :1] * guide[0]
    for channel in range(1, len(guide)):
        result += coefficients[:, channel, None] * guide[channel]
    result += coefficients[:, -1, None]
    return result


def _window(taps: _Taps, span: slice) -> _Taps:
    return taps[0][span], taps[1][span]


def _guide(frames: Sequence[Picture], color: str) -> Picture:
    return np.concatenate([encode(f, color) for f in frames], 2)


def _check_color(color: str) -> None:
    if color not in COLORS:
        raise BundleError(
            f"the network's colours are {color!r}; this edgeexpo knows {', '.join(COLORS)}: "
            "install the version that exported the bundle"
        )


def _box(planes: Picture, radius: int) -> Picture:
    """Mean over windows of ``2 radius + 1`` pixels a side that end at the border, hxwxC."""
    result = planes
    for axis in (0, 1):
        source, total = np.moveaxis(result, axis, 0), np.moveaxis(result.copy(), axis, 0)
        for step in range(1, min(radius, len(source) - 1) + 1):
            total[step:] += source[:-step]
            total[:-step] += source[step:]
        position = np.arange(len(source))
        count = np.minimum(position, radius) + np.minimum(position[::-1], radius) + 1
        total /= count.astype(np.float32)[:, None, None]
        result = np.moveaxis(total, 0, axis)
    return result
