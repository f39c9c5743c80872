"""What a photographer would see, as numbers: pure functions of two pictures.

Pictures are HxWxC float32, sRGB in [0,1], not rounded. A candidate with NaN or infinite values has
the worst value of every metric.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.imaging.color import delta_e_2000, rgb_to_lab

BEST_PSNR = 120.0
"""PSNR of equal pictures, in dB: JSON has no infinity."""

WORST: Mapping[str, float] = {
    "max_abs": 1e9,
    "psnr": 0.0,
    "ssim": -1.0,
    "delta_e_p99": 1e9,
    "correction_snr": -BEST_PSNR,
}
"""Value of each metric for a candidate that is not finite."""

LARGER_IS_BETTER: Mapping[str, bool] = {
    "max_abs": False,
    "psnr": True,
    "ssim": True,
    "delta_e_p99": False,
    "correction_snr": True,
}
"""Every metric, and which way is better."""


def max_abs(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Largest absolute difference, in units of [0,1]."""
    return float(np.abs(reference - candidate).max())


def psnr(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 1; 120 for equal pictures."""
    return _decibel(1.0, float(np.mean((reference - candidate) ** 2, dtype=np.float64)))


def ssim(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Structural similarity in [-1,1], mean over pixels and channels, data range 1.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 13(4), 2004: Gaussian window of 11 pixels, sigma 1.5, population covariance; pixels
    whose window leaves the picture are left out.
    """
    x, y = (torch.from_numpy(p.transpose(2, 0, 1).copy())[:, None] for p in (reference, candidate))
    offsets = torch.arange(11, dtype=torch.float32) - 5
    kernel = torch.exp(-(offsets**2) / (2 * 1.5**2))
    kernel = kernel / kernel.sum()

    def blur(t: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.conv2d(t, kernel.reshape(1, 1, 11, 1)), kernel.reshape(1, 1, 1, 11))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(score.mean())


def delta_e_p99(reference: np.ndarray, candidate: np.ndarray) -> float:
    """99th percentile over pixels of the CIEDE2000 colour difference (D65)."""
    labs = [rgb_to_lab(np.clip(p, 0, 1)) for p in (reference, candidate)]
    return float(np.percentile(delta_e_2000(*labs), 99))


def correction_snr(reference: np.ndarray, candidate: np.ndarray, identity: np.ndarray) -> float:
    """``10 log10(|f|^2 / |f_c - f|^2)`` in dB, with ``f`` what a residual network adds.

    ``f = reference - identity`` and ``f_c = candidate - identity``: a network whose correction has
    vanished scores 0 dB however near its picture is. 120 when the corrections are equal.
    """
    signal = float(np.mean((reference - identity) ** 2, dtype=np.float64))
    noise = float(np.mean((reference - candidate) ** 2, dtype=np.float64))
    return _decibel(signal, noise)


def measure(
    reference: np.ndarray, candidate: np.ndarray, identity: np.ndarray | None
) -> dict[str, float]:
    """Every metric of two pictures; ``correction_snr`` only with the identity input.

    Colour difference is for RGB only; pictures under 11 pixels a side have no SSIM.
    """
    names = [name for name in LARGER_IS_BETTER if name != "correction_snr" or identity is not None]
    if not np.isfinite(candidate).all():
        return {name: WORST[name] for name in names}
    result = {"max_abs": max_abs(reference, candidate), "psnr": psnr(reference, candidate)}
    if min(reference.shape[:2]) >= 11:
        result["ssim"] = ssim(reference, candidate)
    if reference.shape[2] == 3:
        result["delta_e_p99"] = delta_e_p99(reference, candidate)
    if identity is not None:
        result["correction_snr"] = correction_snr(reference, candidate, identity)
    return result


def total_correction_snr(rows: list[dict[str, float]]) -> float | None:
    """``correction_snr`` over the pixels of all pictures together; ``None`` without corrections.

    Args:
        rows: One picture's metrics each, all of one size; errors are recovered from ``psnr``.
    """
    pairs = [(r["psnr"], r["correction_snr"]) for r in rows if "correction_snr" in r]
    if not pairs:
        return None
    noise = [10 ** (-psnr_db / 10) for psnr_db, _ in pairs]
    signal = [n * 10 ** (snr / 10) for n, (_, snr) in zip(noise, pairs, strict=True)]
    return _decibel(sum(signal), sum(noise))


def worst(rows: list[dict[str, float]]) -> dict[str, float]:
    """The worst value of every metric over ``rows``."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: (min if LARGER_IS_BETTER.get(name, True) else max)(
            row[name] for row in rows if name in row
        )
        for name in names
    }


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0:
        return BEST_PSNR
    if signal <= 0:
        return -BEST_PSNR
    return float(np.clip(10 * np.log10(signal / noise), -BEST_PSNR, BEST_PSNR))
