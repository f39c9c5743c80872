"""Metrics of two pictures: differences that a photographer would see, as pure functions.

Pictures are HxWxC float32, sRGB in [0,1], not rounded; a step is 1/255. A candidate with NaN or
infinite values gets the worst value of every metric.

Related modules: :mod:`.structure` (SSIM), :mod:`.tones` (brightness, clipping, banding),
:mod:`.geometry` (shifts, flips, channels) and :mod:`.relations` (metrics of several pictures: frame
order, seams, flicker).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeexpo.imaging.color import delta_e_2000, rgb_to_lab, srgb_to_linear
from edgeexpo.imaging.pu21 import BEST_PSNR
from edgeexpo.imaging.pu21 import pu21_psnr as pu21_psnr_of_luminance
from edgeexpo.parity.metrics.geometry import border_excess, channel_order, orientation, pixel_shift
from edgeexpo.parity.metrics.structure import SMALLEST_MULTISCALE, SSIM_WINDOW, similarity
from edgeexpo.parity.metrics.tones import (
    banding,
    clipped_change,
    color_cast,
    contrast_change,
    luma,
    luminance_shift,
    overshoot,
    sampled,
)

HUGE = 1e9
"""Value of an unbounded error for a candidate that is not finite."""

STRUCTURE_STEP = 2 / 255
"""Standard deviation of luma below which a picture has no structure to compare."""

ONE_CODE = 1.5 / 255
"""Difference of values between one code and two."""

DISPLAY_WHITE = 1000.0
"""Luminance in cd/m^2 at which :func:`radiance_psnr` displays a linear 1."""


@dataclass(frozen=True)
class Metric:
    """The properties of a metric.

    Attributes:
        unit: Unit of its values; empty for pure numbers.
        larger_is_better: Direction; for signed metrics, that of the magnitude.
        worst: Value for a candidate that is not finite.
        signed: Whether values have a sign; bounds and worst values concern the magnitude.
    """

    unit: str
    larger_is_better: bool
    worst: float
    signed: bool = False

    def worse(self, first: float, second: float) -> float:
        """Return the worse of two values; NaN is worse than any."""
        if first != first or second != second:
            return float("nan")
        key = abs if self.signed else float
        return (min if self.larger_is_better else max)(first, second, key=key)


ALL: Mapping[str, Metric] = {
    "nonfinite": Metric("% of pixels", False, 100.0),
    "orientation": Metric("", False, HUGE),
    "channel_order": Metric("", False, HUGE),
    "frame_order": Metric("", False, HUGE),
    "pixel_shift": Metric("px", False, HUGE),
    "overshoot": Metric("steps", False, HUGE),
    "banding": Metric("steps", False, HUGE),
    "border_excess": Metric("steps", False, HUGE),
    "seam": Metric("steps", False, HUGE),
    "flicker": Metric("steps", False, HUGE),
    "color_cast": Metric("%", False, HUGE),
    "clipped_change": Metric("% of pixels", False, 100.0),
    "contrast_change": Metric("%", False, HUGE, signed=True),
    "luminance_shift": Metric("steps", False, HUGE, signed=True),
    "equal_frames": Metric("steps", False, HUGE),
    "asymmetry": Metric("steps", False, HUGE),
    "codes_off": Metric("% of values", False, 100.0),
    "max_abs": Metric("", False, HUGE),
    "psnr": Metric("dB", True, 0.0),
    "pu21_psnr": Metric("dB", True, 0.0),
    "ssim": Metric("", True, -1.0),
    "ms_ssim": Metric("", True, 0.0),
    "delta_e_mean": Metric("dE2000", False, HUGE),
    "delta_e_p95": Metric("dE2000", False, HUGE),
    "delta_e_p99": Metric("dE2000", False, HUGE),
    "correction_snr": Metric("dB", True, -BEST_PSNR),
}
"""Every metric; metrics that name a fault come before metrics of any difference."""

RELATIONS = ("frame_order", "seam", "flicker", "equal_frames", "asymmetry")
"""Metrics of several pictures or of tiles (:mod:`edgeexpo.parity.metrics.relations`)."""

METRICS: Mapping[str, Metric] = {name: m for name, m in ALL.items() if name not in RELATIONS}
"""Metrics of one picture, which :func:`measure_pictures` returns."""

WORST: Mapping[str, float] = {name: metric.worst for name, metric in METRICS.items()}
"""Value of each metric of one picture for a candidate that is not finite."""

LARGER_IS_BETTER: Mapping[str, bool] = {name: m.larger_is_better for name, m in ALL.items()}
"""Direction of every metric."""


def max_abs(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the largest absolute difference, in units of [0,1]."""
    return float(np.abs(reference - candidate).max())


def codes_off(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the share of values in percent that differ by more than one code of 8 bits.

    It is for pictures of codes. Rounding alone moves a value by one code.
    """
    return 100 * float(np.mean(np.abs(reference - candidate) > ONE_CODE))


def psnr(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, peak 1; 120 for equal pictures."""
    return _decibel(1.0, float(np.mean((reference - candidate) ** 2, dtype=np.float64)))


def delta_e(reference: np.ndarray, candidate: np.ndarray) -> dict[str, float]:
    """Return mean and percentiles 95 and 99 over pixels of the CIEDE2000 colour difference (D65).

    A difference of 1 is just noticeable in large patches side by side, a difference of 3 is noticed
    by everyone. The pixels are those of :func:`~.tones.sampled`.
    """
    differences = delta_e_2000(_lab(reference), _lab(candidate))
    p95, p99 = np.percentile(differences, (95, 99))
    return {
        "delta_e_mean": float(differences.mean(dtype=np.float64)),
        "delta_e_p95": float(p95),
        "delta_e_p99": float(p99),
    }


def delta_e_p99(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the 99th percentile of :func:`delta_e`."""
    return delta_e(reference, candidate)["delta_e_p99"]


def radiance_psnr(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the PSNR in dB of radiance in the PU21 encoding, with linear 1 at 1000 cd/m^2.

    It is for networks that give HDR. Errors count as they are seen on an HDR display, where PSNR of
    encoded values overrates the highlights. The pixels are sampled as for :func:`delta_e`.
    """
    return pu21_psnr_of_luminance(_radiance(reference), _radiance(candidate))


def correction_snr(reference: np.ndarray, candidate: np.ndarray, identity: np.ndarray) -> float:
    """Return the signal-to-noise ratio in dB of the correction that a residual network adds.

    It is ``10 log10(|f|^2 / |f_c - f|^2)`` with ``f = reference - identity`` and ``f_c = candidate
    - identity``. A network whose correction has vanished scores 0 dB, however near its picture is.
    Equal corrections score 120 dB.
    """
    signal = float(np.mean((reference - identity) ** 2, dtype=np.float64))
    noise = float(np.mean((reference - candidate) ** 2, dtype=np.float64))
    return _decibel(signal, noise)


def measure_pictures(
    reference: np.ndarray,
    candidate: np.ndarray,
    identity: np.ndarray | None,
    hdr: bool = False,
    codes: bool = False,
) -> dict[str, float]:
    """Return every metric of two pictures; metrics that do not apply are left out.

    Colour metrics are for RGB only. SSIM is for pictures with structure and at least 11 pixels a
    side. On a constant frame SSIM treats an eighth of a visible difference as a broken picture.

    Args:
        reference: HxWxC float32, sRGB in [0,1].
        candidate: The same shape.
        identity: The input to which a residual network adds, for ``correction_snr``.
        hdr: Whether the pictures show radiance, for ``pu21_psnr``.
        codes: Whether values are codes of 8 bits, for ``codes_off``.
    """
    color = reference.shape[2] == 3
    structure = (
        min(reference.shape[:2]) >= SSIM_WINDOW and float(luma(reference).std()) >= STRUCTURE_STEP
    )
    kinds = {
        "ssim": structure,
        "ms_ssim": structure and min(reference.shape[:2]) >= SMALLEST_MULTISCALE,
        "channel_order": color,
        "color_cast": color,
        "delta_e_mean": color,
        "delta_e_p95": color,
        "delta_e_p99": color,
        "pu21_psnr": hdr,
        "codes_off": codes,
        "correction_snr": identity is not None,
    }
    names = [name for name in METRICS if kinds.get(name, True)]
    finite = np.isfinite(candidate).all(axis=2)
    if not finite.all():
        share = 100 * float(1 - finite.mean())
        return {name: WORST[name] for name in names} | {"nonfinite": share}
    found = {"nonfinite": 0.0} | tones(reference, candidate)
    for name in names:
        if name in _PLAIN:
            found[name] = _PLAIN[name](reference, candidate)
    if color:
        found |= delta_e(reference, candidate) | {"color_cast": color_cast(reference, candidate)}
    if structure:
        found["ssim"], multiscale = similarity(reference, candidate)
        if multiscale is not None:
            found["ms_ssim"] = multiscale
    if identity is not None:
        found["correction_snr"] = correction_snr(reference, candidate, identity)
    return {name: found[name] for name in names}


OF_VARIATION = ("pixel_shift", "orientation", "banding", "contrast_change", "color_cast")
"""Metrics of the picture's response to its input, which are meaningless for constant frames."""


def tones(reference: np.ndarray, candidate: np.ndarray) -> dict[str, float]:
    """Return the metrics that noise does not move and that lowering may not change."""
    return {
        "clipped_change": clipped_change(reference, candidate),
        "contrast_change": contrast_change(reference, candidate),
        "luminance_shift": luminance_shift(reference, candidate),
    }


def total_correction_snr(rows: list[dict[str, float]]) -> float | None:
    """Return ``correction_snr`` over the pixels of all pictures; ``None`` without corrections.

    Args:
        rows: The metrics of one picture each, all of one size; errors are recovered from ``psnr``.
    """
    pairs = [(r["psnr"], r["correction_snr"]) for r in rows if "correction_snr" in r]
    if not pairs:
        return None
    noise = [10 ** (-psnr_db / 10) for psnr_db, _ in pairs]
    signal = [n * 10 ** (snr / 10) for n, (_, snr) in zip(noise, pairs, strict=True)]
    return _decibel(sum(signal), sum(noise))


SHIFT_METRICS = ("contrast_change_quantized", "luminance_shift_quantized")
"""Signed distances to the quantised program.

Rounding noise averages out over many photographs. The effect of a wrong scale or zero point
remains.
"""


def total(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return values over all pictures: ``correction_snr``, and the means of :data:`SHIFT_METRICS`.

    Args:
        rows: The metrics of one picture each.
    """
    values = {name: [row[name] for row in rows if name in row] for name in SHIFT_METRICS}
    found = {name: float(np.mean(each)) for name, each in values.items() if each}
    snr = total_correction_snr(rows)
    return found if snr is None else {"correction_snr": snr, **found}


def worst(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the worst value of every metric over ``rows``; ``X_quantized`` is judged as ``X``."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {}
    for name in names:
        worse = ALL[name.removesuffix("_quantized")].worse
        values = [row[name] for row in rows if name in row]
        value = values[0]
        for other in values[1:]:
            value = worse(value, other)
        found[name] = value
    return found


_PLAIN: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "orientation": orientation,
    "channel_order": channel_order,
    "pixel_shift": pixel_shift,
    "overshoot": overshoot,
    "banding": banding,
    "border_excess": border_excess,
    "codes_off": codes_off,
    "max_abs": max_abs,
    "psnr": psnr,
    "pu21_psnr": radiance_psnr,
}
"""Functions of metrics that need only the two pictures."""


def _lab(picture: np.ndarray) -> np.ndarray:
    return np.asarray(rgb_to_lab(np.clip(sampled(picture), 0, 1)))


def _radiance(picture: np.ndarray) -> np.ndarray:
    return np.asarray(srgb_to_linear(np.maximum(sampled(picture), 0))) * DISPLAY_WHITE


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0:
        return BEST_PSNR
    if signal <= 0:
        return -BEST_PSNR
    return float(np.clip(10 * np.log10(signal / noise), -BEST_PSNR, BEST_PSNR))
