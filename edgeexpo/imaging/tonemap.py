"""Tone mapping operators, which turn linear radiance into a picture for an ordinary display.

All operators take HxWx3 linear RGB radiance (any scale, >= 0). They return HxWx3 float32 in [0, 1],
encoded by a power ``1 / gamma`` and so sRGB-like. Pictures without contrast are not mapped: a black
picture stays black. A picture of a single luminance is scaled to a maximum of 1 and encoded.

The operators of Reinhard, Drago and Mantiuk are OpenCV's, which here reads channel 0 as red. The
ranges of :func:`random_operator` are those of D. Marnerides et al., "ExpandNet", Eurographics 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging import opencv
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import LUMA

ToneOperator = Callable[[Picture], Picture]
"""A function from HxWx3 linear radiance to an HxWx3 display picture in [0, 1]."""

_FLOOR = 1e-4
"""Floor of luminance before a logarithm, relative to the brightest value, as in OpenCV."""
_LUMA = np.array(LUMA, np.float32)


def reinhard(
    radiance: Picture,
    *,
    intensity: float = 0.0,
    light_adapt: float = 1.0,
    color_adapt: float = 0.0,
    gamma: float = 2.2,
) -> Picture:
    """Map tones by an adaptation model of photoreceptors.

    Follows E. Reinhard and K. Devlin, "Dynamic range reduction inspired by photoreceptor
    physiology", IEEE TVCG 11(1), 2005.

    Args:
        radiance: HxWx3 linear RGB, any scale, >= 0.
        intensity: Brightness, -8 to 8.
        light_adapt: Light adaptation: 0 adapts to the whole picture, 1 to each pixel.
        color_adapt: Chromatic adaptation: 0 adapts the channels together, 1 each channel alone.
        gamma: Gamma of the encoding, > 0.

    Returns:
        HxWx3 float32 in [0, 1], encoded by ``1 / gamma``.

    Raises:
        PictureError: The radiance is not HxWx3 or not finite.
        UsageError: ``gamma`` is not positive.
        MissingDependencyError: OpenCV is not installed.
    """
    make = opencv.load_opencv().createTonemapReinhard
    return _mapped(radiance, make(gamma, intensity, light_adapt, color_adapt).process, gamma)


def drago(
    radiance: Picture, *, bias: float = 0.85, saturation: float = 1.0, gamma: float = 2.2
) -> Picture:
    """Map tones by a logarithm whose base adapts to each pixel.

    Follows F. Drago et al., "Adaptive logarithmic mapping for displaying high contrast scenes",
    Computer Graphics Forum 22(3), 2003.

    Args:
        radiance: HxWx3 linear RGB, any scale, >= 0.
        bias: Bias of the logarithm's base, 0 to 1. Values from 0.7 to 0.9 suit most scenes.
        saturation: Saturation of the colours, > 0.
        gamma: Gamma of the encoding, > 0.

    Returns:
        HxWx3 float32 in [0, 1], encoded by ``1 / gamma``.

    Raises:
        PictureError: The radiance is not HxWx3 or not finite.
        UsageError: ``gamma`` is not positive.
        MissingDependencyError: OpenCV is not installed.
    """
    make = opencv.load_opencv().createTonemapDrago
    return _mapped(radiance, make(gamma, saturation, bias).process, gamma)


def mantiuk(
    radiance: Picture, *, scale: float = 0.75, saturation: float = 1.0, gamma: float = 2.2
) -> Picture:
    """Map tones by scaling the perceived contrast.

    Follows R. Mantiuk et al., "A perceptual framework for contrast processing of high dynamic
    range images", ACM TAP 3(3), 2006.

    Args:
        radiance: HxWx3 linear RGB, any scale, >= 0.
        scale: Scale of the contrast response, 0.6 to 0.9. Smaller values compress more.
        saturation: Saturation of the colours, > 0.
        gamma: Gamma of the encoding, > 0.

    Returns:
        HxWx3 float32 in [0, 1], encoded by ``1 / gamma``.

    Raises:
        PictureError: The radiance is not HxWx3 or not finite.
        UsageError: ``gamma`` is not positive.
        MissingDependencyError: OpenCV is not installed.
    """
    make = opencv.load_opencv().createTonemapMantiuk
    return _mapped(radiance, make(gamma, scale, saturation).process, gamma)


def durand(
    radiance: Picture,
    *,
    contrast: float = 3.0,
    sigma_space: float = 8.0,
    sigma_color: float = 0.4,
    gamma: float = 2.2,
) -> Picture:
    """Map tones by compressing the base of log10 luminance and keeping the detail.

    Follows F. Durand and J. Dorsey, "Fast bilateral filtering for the display of
    high-dynamic-range images", SIGGRAPH 2002.

    Args:
        radiance: HxWx3 linear RGB, any scale, >= 0.
        contrast: Largest range of the compressed base, as a natural logarithm, > 0. A base whose
            range is smaller stays unchanged.
        sigma_space: Spatial standard deviation of the bilateral filter, in pixels.
        sigma_color: Tonal standard deviation of the bilateral filter, in log10 units.
        gamma: Gamma of the encoding, > 0.

    Returns:
        HxWx3 float32 in [0, 1], encoded by ``1 / gamma``.

    Raises:
        PictureError: The radiance is not HxWx3 or not finite.
        UsageError: ``gamma`` or ``contrast`` is not positive.
        MissingDependencyError: OpenCV is not installed.
    """
    cv2 = opencv.load_opencv()
    if not contrast > 0:
        raise UsageError(f"contrast is {contrast}; expected a positive number such as 3")

    def process(picture: Picture) -> Picture:
        luminance = np.maximum(picture @ _LUMA, np.float32(_FLOOR))
        log = np.log10(luminance)
        base = cv2.bilateralFilter(log, 0, sigma_color, sigma_space)
        spread = float(np.ptp(base)) * np.log(10.0)
        factor = min(1.0, contrast / spread) if spread > 0 else 1.0
        mapped = 10.0 ** ((base - base.max()) * factor + (log - base))
        linear = picture * (mapped / luminance)[..., None]
        return np.asarray(np.clip(linear, 0, 1) ** (1 / gamma), np.float32)

    return _mapped(radiance, process, gamma)


def percentile_exposure(
    radiance: Picture, *, low: float = 10.0, high: float = 90.0, gamma: float = 2.2
) -> Picture:
    """Map tones by one exposure: values between two percentiles fill the range, others are clipped.

    Args:
        radiance: HxWx3 linear RGB, any scale, >= 0.
        low: Percentile of all values that becomes 0.
        high: Percentile of all values that becomes 1, above ``low``.
        gamma: Gamma of the encoding, > 0.

    Returns:
        HxWx3 float32 in [0, 1], encoded by ``1 / gamma``.

    Raises:
        PictureError: The radiance is not HxWx3 or not finite.
        UsageError: ``gamma`` is not positive, or the percentiles are not in order within 0 to 100.
    """
    if not 0 <= low < high <= 100:
        raise UsageError(f"percentiles are {low} and {high}; expected 0 <= low < high <= 100")

    def process(picture: Picture) -> Picture:
        bottom, top = np.percentile(picture, [low, high])
        if not top > bottom:
            bottom, top = 0.0, max(float(top), _FLOOR)
        scaled = np.clip((picture - bottom) / (top - bottom), 0, 1)
        return np.asarray(scaled ** (1 / gamma), np.float32)

    return _mapped(radiance, process, gamma)


def random_operator(rng: np.random.Generator) -> ToneOperator:
    """Draw an operator and its parameters, uniformly, as ExpandNet's training does.

    The ranges of the parameters are:

    - percentile exposure: ``low`` 0 to 15, ``high`` 85 to 100
    - Reinhard: ``intensity`` -1 to 1, ``light_adapt`` 0.8 to 1, ``color_adapt`` 0 to 0.2
    - Mantiuk: ``scale`` 0.65 to 0.85
    - Drago: ``bias`` 0.7 to 0.9
    - Durand: ``contrast`` 1 to 3.5
    - all: ``gamma`` 1.8 to 2.2

    Returns:
        A :class:`functools.partial` of one of this module's operators. Its ``keywords`` are the
        drawn parameters.
    """
    draws: tuple[tuple[Callable[..., Picture], dict[str, tuple[float, float]]], ...] = (
        (percentile_exposure, {"low": (0, 15), "high": (85, 100)}),
        (
            reinhard,
            {"intensity": (-1, 1), "light_adapt": (0.8, 1.0), "color_adapt": (0.0, 0.2)},
        ),
        (mantiuk, {"scale": (0.65, 0.85)}),
        (drago, {"bias": (0.7, 0.9)}),
        (durand, {"contrast": (3.5, 1.0)}),
    )
    operator, ranges = draws[int(rng.integers(len(draws)))]
    ranges = {**ranges, "gamma": (1.8, 2.2)}
    drawn = {name: float(a + (b - a) * rng.random()) for name, (a, b) in ranges.items()}
    return partial(operator, **drawn)


def _mapped(radiance: Picture, process: Callable[[Picture], Any], gamma: float) -> Picture:
    if not gamma > 0:
        raise UsageError(f"gamma is {gamma}; expected a positive number such as 2.2")
    picture = _relative(radiance)
    luminance = picture @ _LUMA
    if float(np.ptp(luminance)) <= 1e-6:
        return np.asarray(picture ** (1 / gamma), np.float32)
    out = np.nan_to_num(np.asarray(process(picture), np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _relative(radiance: Picture) -> Picture:
    """Divide ``radiance`` by its largest value and clip it to [0, 1].

    Negative values are out of gamut and become 0.
    """
    picture = np.asarray(radiance, np.float32)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise PictureError(f"radiance has shape {picture.shape}; expected HxWx3")
    if not np.all(np.isfinite(picture)):
        raise PictureError("radiance has NaN or infinite values; expected finite linear light")
    top = float(picture.max())
    if top <= 0:
        return np.zeros_like(picture)
    return np.ascontiguousarray(np.clip(picture / np.float32(top), 0, 1))
