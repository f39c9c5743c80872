"""MEF-SSIM: how well a fused picture keeps the local structure of the exposures it came from.

Follows K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image fusion",
IEEE TIP 24(11), 2015 (static scenes). Per patch of a grey exposure ``x_k - mu_k = c_k s_k``; the
patch that a fused picture is compared with is ``x = c s``:

- ``c = max_k c_k``, the highest contrast;
- ``s`` is the direction of ``sum_k w_k s_k``, ``w_k = c_k^p``, ``p = tan(pi R / 2)`` and
  ``R = |sum_k (x_k - mu_k)| / sum_k c_k``, the agreement of the exposures;
- score ``(2 cov(x, y) + C) / (var(x) + var(y) + C)``. Mean luminance does not count.

Constants are those of the paper and its authors' code: patches of 11x11 with equal weight for
``c``, ``s`` and ``R``; a Gaussian window of 11x11 and sigma 1.5 for variances and covariance, as in
SSIM; ``C = (0.03 * 255)^2``, SSIM's second constant; ``p`` at most 10, where the sum is as good as
the maximum; three scales, each a 2x2 mean of the one before, whose means are multiplied with the
exponents 0.0448, 0.2856, 0.3001 (the first three of MS-SSIM) scaled to a sum of 1; BT.601 grey
of 8-bit pictures, rounded to 8 bits. Their code adds 0.001 to ``c_k`` against division by zero;
here flat patches are left out of the sum instead, which rounding to 8 bits makes exact.

The loss of MEF-Net, which takes the SSIM of the exposure with the highest contrast, is another
metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError

Plane = npt.NDArray[np.float64]

MEF_WINDOW = 11
SMALLEST_MEF_SIDE = 4 * (MEF_WINDOW - 1) + 1
"""Height and width below which the third scale has no patch."""

EXPONENTS = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
_C = (0.03 * 255) ** 2
_LARGEST_POWER = 10.0
_LUMA = np.array([299.0, 587.0, 114.0])
_OFFSETS = np.arange(MEF_WINDOW) - MEF_WINDOW // 2
_GAUSSIAN = np.exp(-(_OFFSETS**2) / (2 * 1.5**2))
_GAUSSIAN /= _GAUSSIAN.sum()
_EQUAL = np.ones(MEF_WINDOW)
_ROWS = 48
"""Rows of scores computed at a time: what they need stays in the processor's cache."""


@dataclass(frozen=True)
class _Scale:
    """What the exposures say at one scale; maps have one element for each patch.

    The desired patch is ``x = sum_k mix_k x_k`` up to its mean.
    """

    planes: list[Plane]
    means: Plane
    mix: Plane
    variance: Plane


class MefReference:
    """The exposures of one scene, prepared for scoring many fused pictures.

    Args:
        frames: One or more HxWx3 exposures of a static scene, sRGB-encoded, [0, 1], in any order.

    Raises:
        PictureError: No frames, not HxWx3, sizes that differ, or below 41 pixels a side.
    """

    def __init__(self, frames: Sequence[npt.ArrayLike]) -> None:
        if not len(frames):
            raise PictureError("MEF-SSIM got no frames; expected at least one")
        self._shape = np.shape(frames[0])
        planes = [_grey(f"frame {i}", frame, self._shape) for i, frame in enumerate(frames)]
        self._scales = []
        for _ in EXPONENTS:
            self._scales.append(_prepared(planes))
            planes = [_halved(p) for p in planes]

    def __call__(self, fused: npt.ArrayLike) -> float:
        """:func:`mef_ssim` of ``fused``, HxWx3 of the frames' size."""
        candidate = _grey("the fused picture", fused, self._shape)
        score = 1.0
        for scale, exponent in zip(self._scales, EXPONENTS, strict=True):
            score *= max(float(_scores(scale, candidate).mean()), 0.0) ** float(exponent)
            candidate = _halved(candidate)
        return score

    def map(self, fused: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """:func:`mef_ssim_map` of ``fused``, HxWx3 of the frames' size."""
        candidate = _grey("the fused picture", fused, self._shape)
        return _scores(self._scales[0], candidate).astype(np.float32)


def mef_ssim(frames: Sequence[npt.ArrayLike], fused: npt.ArrayLike) -> float:
    """Quality of a fused picture, without a reference.

    Args:
        frames: One or more HxWx3 exposures of a static scene, sRGB-encoded, [0, 1], in any order.
        fused: HxWx3, the same size and encoding.

    Returns:
        0 to 1, larger is better; a mean below 0 at any scale counts as 0.

    Raises:
        PictureError: No frames, not HxWx3, sizes that differ, or below 41 pixels a side.
    """
    return MefReference(frames)(fused)


def mef_ssim_map(frames: Sequence[npt.ArrayLike], fused: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Scores of every patch at the finest scale.

    Args and errors as for :func:`mef_ssim`.

    Returns:
        (H-10)x(W-10) float32 in [-1, 1]; element (0, 0) is the patch centred at (5, 5).
    """
    return MefReference(frames).map(fused)


def _grey(name: str, frame: npt.ArrayLike, shape: tuple[int, ...]) -> Plane:
    picture = np.asarray(frame, np.float32)
    found = "x".join(map(str, picture.shape))
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise PictureError(f"{name} is {found}; expected HxWx3")
    if picture.shape != shape:
        expected = "x".join(map(str, shape))
        raise PictureError(f"{name} is {found}, frame 0 is {expected}; expected one size")
    if min(shape[:2]) < SMALLEST_MEF_SIDE:
        raise PictureError(f"{name} is {found}; MEF-SSIM needs {SMALLEST_MEF_SIDE} pixels a side")
    # Centred, so that sums of products stay small; integers, so that box sums are exact.
    codes = np.rint(np.clip(picture, 0, 1) * 255.0)
    return np.asarray(np.rint(codes @ _LUMA / 1000.0) - 128)


def _halved(plane: Plane) -> Plane:
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return np.asarray((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)


def _prepared(planes: list[Plane]) -> _Scale:
    height, width = planes[0].shape[0] - MEF_WINDOW + 1, planes[0].shape[1] - MEF_WINDOW + 1
    means, mix = np.empty((2, len(planes), height, width))
    variance = np.empty((height, width))
    for start in range(0, height, _ROWS):
        rows, out = slice(start, start + _ROWS + MEF_WINDOW - 1), slice(start, start + _ROWS)
        means[:, out], mix[:, out], variance[out] = _desired([p[rows] for p in planes])
    return _Scale(planes, means, mix, variance)


def _desired(planes: Sequence[Plane]) -> tuple[Plane, Plane, Plane]:
    """Gaussian means (K), ``mix`` (K) and the variance of the desired patch, for a strip."""
    count = len(planes)
    sums = [_filter(p, _EQUAL) for p in planes]
    means = np.stack([_filter(p, _GAUSSIAN) for p in planes])
    spread: dict[tuple[int, int], Plane] = {}
    covariance: dict[tuple[int, int], Plane] = {}
    for k in range(count):
        for j in range(k, count):
            product = planes[k] * planes[j]
            spread[k, j] = _filter(product, _EQUAL) - sums[k] * sums[j] / MEF_WINDOW**2
            covariance[k, j] = _filter(product, _GAUSSIAN) - means[k] * means[j]
    contrast = np.sqrt(np.maximum([spread[k, k] for k in range(count)], 0))
    factors = _structure_weights(contrast, spread)
    length = _quadratic(factors, spread)
    # Exposures whose structures cancel leave rounding noise, which is no structure.
    known = length > 1e-9 * np.square((factors * contrast).sum(axis=0))
    gain = np.zeros_like(length)
    np.divide(contrast.max(axis=0), np.sqrt(np.abs(length)), out=gain, where=known)
    mix = gain * factors
    return means, mix, _quadratic(mix, covariance)


def _scores(scale: _Scale, candidate: Plane) -> Plane:
    out = np.empty_like(scale.variance)
    for start in range(0, len(out), _ROWS):
        rows, part = slice(start, start + _ROWS + MEF_WINDOW - 1), slice(start, start + _ROWS)
        y = candidate[rows]
        mean = _filter(y, _GAUSSIAN)
        covariance = np.zeros_like(mean)
        for plane, own, mix in zip(scale.planes, scale.means, scale.mix, strict=True):
            covariance += mix[part] * (_filter(plane[rows] * y, _GAUSSIAN) - own[part] * mean)
        variance = scale.variance[part] + _filter(y * y, _GAUSSIAN) - mean**2
        out[part] = (2 * covariance + _C) / (variance + _C)
    return out


def _structure_weights(contrast: Plane, spread: dict[tuple[int, int], Plane]) -> Plane:
    """``w_k / c_k``, KxHxW, up to a factor that is the same for all k; 0 for flat patches."""
    together = _quadratic(np.ones_like(contrast), spread)
    total = contrast.sum(axis=0)
    flat = total == 0
    agreement = np.sqrt(np.maximum(together, 0)) / np.where(flat, 1, total)
    # At an agreement of 1 the tangent is huge (or, past it, negative).
    power = np.minimum(np.tan(np.pi / 2 * np.minimum(agreement, 1 - 1e-9)), _LARGEST_POWER)
    relative = contrast / np.where(flat, 1, contrast.max(axis=0))
    seen = contrast > 0
    return np.asarray(np.where(seen, relative**power, 0) / np.where(seen, contrast, 1))


def _quadratic(factors: Plane, pairs: dict[tuple[int, int], Plane]) -> Plane:
    """``sum_kj f_k f_j pairs_kj`` with ``pairs`` symmetric, given for k <= j."""
    out = np.zeros(factors.shape[1:])
    for (k, j), value in pairs.items():
        out += (1 if k == j else 2) * factors[k] * factors[j] * value
    return out


def _filter(plane: Plane, taps: Plane) -> Plane:
    """Separable, symmetric, ``taps`` along both axes; only where the window fits."""
    rows = plane.shape[0] - MEF_WINDOW + 1
    tall = taps[MEF_WINDOW // 2] * plane[MEF_WINDOW // 2 : MEF_WINDOW // 2 + rows]
    for i in range(MEF_WINDOW // 2):
        tall += taps[i] * (
            plane[i : i + rows] + plane[MEF_WINDOW - 1 - i : MEF_WINDOW - 1 - i + rows]
        )
    columns = plane.shape[1] - MEF_WINDOW + 1
    out = taps[MEF_WINDOW // 2] * tall[:, MEF_WINDOW // 2 : MEF_WINDOW // 2 + columns]
    for i in range(MEF_WINDOW // 2):
        last = MEF_WINDOW - 1 - i
        out += taps[i] * (tall[:, i : i + columns] + tall[:, last : last + columns])
    return np.asarray(out)
