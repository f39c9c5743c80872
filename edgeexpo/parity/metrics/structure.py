"""SSIM and MS-SSIM, computed in one pass."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

SSIM_WINDOW, SIGMA = 11, 1.5
"""Side in pixels and standard deviation of SSIM's Gaussian window."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's five scales, as published."""

SMALLEST_MULTISCALE = SSIM_WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)
"""Smallest side in pixels for which the window fits at the coarsest scale.

It is 176, because halving an odd side leaves a pixel out.
"""

_C1, _C2 = 0.01**2, 0.03**2
"""SSIM's stabilising constants for the data range 1."""


def similarity(reference: np.ndarray, candidate: np.ndarray) -> tuple[float, float | None]:
    """Return :func:`ssim` and :func:`ms_ssim`, which share their finest scale."""
    multiscale = min(reference.shape[:2]) >= SMALLEST_MULTISCALE
    channels = [
        _channel(x, y, len(SCALE_WEIGHTS) if multiscale else 1)
        for x, y in zip(_planes(reference), _planes(candidate), strict=True)
    ]
    first, several = np.mean(channels, axis=0)
    return float(first), float(several) if multiscale else None


def ssim(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the structural similarity in [-1,1]: the mean over pixels and channels, data range 1.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE
    TIP 13(4), 2004. The Gaussian window has 11 pixels and sigma 1.5; the covariance is the
    population's. Pixels whose window leaves the picture are left out. Fine texture that is lost or
    invented lowers SSIM where PSNR changes little.

    Args:
        reference: HxWxC float32 in [0,1], sRGB-encoded, at least 11 pixels a side.
        candidate: The same shape.
    """
    return similarity(reference, candidate)[0]


def ms_ssim(reference: np.ndarray, candidate: np.ndarray) -> float | None:
    """Return SSIM over five scales in [0,1], data range 1; ``None`` under 176 pixels a side.

    Z. Wang, E. Simoncelli, A. Bovik, "Multiscale structural similarity for image quality
    assessment", Asilomar 2003, mean over channels. Coarse structure (halos, blotches) weighs more
    than in SSIM. Noise that vanishes at viewing distance weighs less.

    Args:
        reference: HxWxC float32 in [0,1], sRGB-encoded.
        candidate: The same shape.
    """
    return similarity(reference, candidate)[1]


def _channel(x: torch.Tensor, y: torch.Tensor, scales: int) -> tuple[float, float]:
    """Return SSIM, and MS-SSIM over ``scales``, of one channel (1x1xHxW)."""
    first, product = 0.0, 1.0
    for index in range(scales):
        whole, contrast = _compare(x, y)
        first = first if index else whole
        value = whole if index == scales - 1 else contrast
        product *= max(value, 0.0) ** SCALE_WEIGHTS[index]
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return first, product


def _compare(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Return the means of SSIM's map and of its factor of contrast and structure alone."""
    mean_x, mean_y = _blur(x), _blur(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    # Only the sum of the two variances is needed.
    variances = _blur(x * x + y * y) - squares
    covariance = _blur(x * y) - product
    contrast = (2 * covariance + _C2) / (variances + _C2)
    whole = (2 * product + _C1) / (squares + _C1) * contrast
    return float(whole.mean()), float(contrast.mean())


def _planes(picture: np.ndarray) -> torch.Tensor:
    """Convert HxWxC to Cx1x1xHxW; each plane then stays in the processor's cache."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[:, None, None]


def _blur(picture: torch.Tensor) -> torch.Tensor:
    # The blur adds shifted copies: torch's convolution of one channel takes five times as long on a
    # CPU.
    offsets = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    kernel = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    taps = (kernel / kernel.sum()).tolist()
    for axis in (2, 3):
        size = picture.shape[axis] - SSIM_WINDOW + 1
        total = picture.narrow(axis, 0, size) * taps[0]
        for start, tap in enumerate(taps[1:], 1):
            total.add_(picture.narrow(axis, start, size), alpha=tap)
        picture = total
    return picture
