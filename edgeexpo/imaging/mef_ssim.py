"""MEF-SSIM, which scores how well a fused picture keeps the local structure of its exposures.

Follows K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image fusion",
IEEE TIP 24(11), 2015 (static scenes). A patch ``x_k`` of grey exposure k has the mean ``mu_k``,
the contrast ``c_k`` and the structure ``s_k``: ``x_k - mu_k = c_k s_k``. The metric compares a
patch ``y`` of the fused picture with the desired patch ``x = c s``:

- ``c = max_k c_k`` is the highest contrast.
- ``s`` is the direction of ``sum_k w_k s_k`` with ``w_k = c_k^p`` and ``p = tan(pi R / 2)``.
- ``R = |sum_k (x_k - mu_k)| / sum_k c_k`` is the agreement of the exposures.
- The score is ``(2 cov(x, y) + C) / (var(x) + var(y) + C)``. Mean luminance does not count.

Constants are those of the paper and its authors' code:

- Patches for ``c``, ``s`` and ``R`` are 11x11 with equal weights.
- Variances and covariance use a Gaussian window of 11x11 and sigma 1.5, as in SSIM.
- ``C = (0.03 * 255)^2`` is SSIM's second constant.
- ``p`` is at most 10, where the weighted sum is close enough to the maximum.
- There are three scales, each a 2x2 mean of the scale before.
- The mean scores of the scales are multiplied after raising them to exponents. The exponents are
  the first three of MS-SSIM (0.0448, 0.2856, 0.3001), scaled to a sum of 1.
- Pictures are 8-bit, and their grey is that of BT.601, rounded to 8 bits.

One detail differs. The authors' code adds 0.001 to ``c_k`` against division by zero. This module
leaves flat patches out of the sum instead, and rounding to 8 bits makes flatness exact.

The loss of MEF-Net takes the SSIM of the exposure with the highest contrast, and so is a different
metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError

Plane = npt.NDArray[np.float64]
"""A grey plane or a map of patches, HxW float64, or several of them, KxHxW."""

MEF_WINDOW = 11
"""Side of the patches and of the Gaussian window of MEF-SSIM, in pixels."""

SMALLEST_MEF_SIDE = 4 * (MEF_WINDOW - 1) + 1
"""Smallest side of a picture, in pixels, with which the third scale still has a patch."""

EXPONENTS = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
"""Exponents of the mean scores of the three scales, finest first."""

_C = (0.03 * 255) ** 2
_LARGEST_POWER = 10.0
_LUMA = np.array([299.0, 587.0, 114.0])
_OFFSETS = np.arange(MEF_WINDOW) - MEF_WINDOW // 2
_GAUSSIAN = np.exp(-(_OFFSETS**2) / (2 * 1.5**2))
_GAUSSIAN /= _GAUSSIAN.sum()
_EQUAL = np.ones(MEF_WINDOW)
_ROWS = 48
"""Number of rows of scores computed at a time, so that their data stay in the processor's cache."""


@dataclass(frozen=True)
class _Scale:
    """Statistics of K exposures at one scale. Maps have one element for each patch.

    Attributes:
        planes: K grey exposures, HxW, centred 8-bit codes.
        means: Kx(H-10)x(W-10) Gaussian means of the exposures.
        mix: Kx(H-10)x(W-10) weights. The desired patch is ``x = sum_k mix_k x_k`` up to its mean.
        variance: (H-10)x(W-10) variance of the desired patch.
    """

    planes: list[Plane]
    means: Plane
    mix: Plane
    variance: Plane


class MefReference:
    """Exposures of one scene, prepared for scoring many fused pictures.

    Args:
        frames: One or more HxWx3 exposures of a static scene, sRGB-encoded, [0, 1], in any order.

    Raises:
        PictureError: There are no frames, a frame is not HxWx3, sizes differ, or a side is below
            41 pixels.
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
        """Return :func:`mef_ssim` of ``fused``, HxWx3 of the frames' size and encoding.

        Raises:
            PictureError: ``fused`` has another size.
        """
        candidate = _grey("the fused picture", fused, self._shape)
        score = 1.0
        for scale, exponent in zip(self._scales, EXPONENTS, strict=True):
            score *= max(float(_scores(scale, candidate).mean()), 0.0) ** float(exponent)
            candidate = _halved(candidate)
        return score

    def map(self, fused: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return :func:`mef_ssim_map` of ``fused``, HxWx3 of the frames' size and encoding.

        Raises:
            PictureError: ``fused`` has another size.
        """
        candidate = _grey("the fused picture", fused, self._shape)
        return _scores(self._scales[0], candidate).astype(np.float32)


def mef_ssim(frames: Sequence[npt.ArrayLike], fused: npt.ArrayLike) -> float:
    """Score the quality of a fused picture without a reference picture.

    Args:
        frames: One or more HxWx3 exposures of a static scene, sRGB-encoded, [0, 1], in any order.
        fused: HxWx3, the same size, range and encoding.

    Returns:
        Score from 0 to 1, larger is better. A mean below 0 at any scale counts as 0.

    Raises:
        PictureError: There are no frames, a picture is not HxWx3, sizes differ, or a side is below
            41 pixels.
    """
    return MefReference(frames)(fused)


def mef_ssim_map(frames: Sequence[npt.ArrayLike], fused: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Score every patch at the finest scale.

    Args:
        frames: One or more HxWx3 exposures of a static scene, sRGB-encoded, [0, 1], in any order.
        fused: HxWx3, the same size, range and encoding.

    Returns:
        (H-10)x(W-10) float32 in [-1, 1]. Element (0, 0) is the patch centred at pixel (5, 5).

    Raises:
        PictureError: There are no frames, a picture is not HxWx3, sizes differ, or a side is below
            41 pixels.
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
    # Codes are centred so that sums of products stay small. Integers make box sums exact.
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
    """Return K Gaussian means, K maps of ``mix`` and the desired patch's variance for a strip."""
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
    # Exposures whose structures cancel leave rounding noise, which must not count as structure.
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
    """Return ``w_k / c_k``, KxHxW, up to a factor that is the same for all k.

    The weight of a flat patch is 0.
    """
    together = _quadratic(np.ones_like(contrast), spread)
    total = contrast.sum(axis=0)
    flat = total == 0
    agreement = np.sqrt(np.maximum(together, 0)) / np.where(flat, 1, total)
    # At an agreement of 1 the tangent is huge. Above 1 it is negative.
    power = np.minimum(np.tan(np.pi / 2 * np.minimum(agreement, 1 - 1e-9)), _LARGEST_POWER)
    relative = contrast / np.where(flat, 1, contrast.max(axis=0))
    seen = contrast > 0
    return np.asarray(np.where(seen, relative**power, 0) / np.where(seen, contrast, 1))


def _quadratic(factors: Plane, pairs: dict[tuple[int, int], Plane]) -> Plane:
    """Return ``sum_kj f_k f_j pairs_kj`` for symmetric ``pairs``, given for k <= j."""
    out = np.zeros(factors.shape[1:])
    for (k, j), value in pairs.items():
        out += (1 if k == j else 2) * factors[k] * factors[j] * value
    return out


def _filter(plane: Plane, taps: Plane) -> Plane:
    """Filter with the symmetric ``taps`` along both axes, only where the window fits."""
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
