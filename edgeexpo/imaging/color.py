"""Colour spaces: the sRGB transfer function, CIE L*a*b* (D65), YCbCr and the CIEDE2000 difference.

Every function keeps float32 arrays in float32 and computes any other type in float64.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

ColorArray = npt.NDArray[np.floating[Any]]
"""An array of colours or differences, float32 or float64."""

_RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma, of BT.601."""

_LUMA_601 = np.array(LUMA)
_25_TO_7 = 25.0**7


def srgb_to_linear(x: npt.ArrayLike) -> ColorArray:
    """Decode sRGB values to linear light (IEC 61966-2-1).

    Args:
        x: Any shape, sRGB-encoded, [0, 1]. Values below 0 continue the linear segment.

    Returns:
        Same shape, linear light, [0, 1].
    """
    x = _floats(x)
    curve = np.power((np.maximum(x, 0) + 0.055) / 1.055, 2.4)
    return cast(ColorArray, np.where(x <= 0.04045, x / 12.92, curve))


def linear_to_srgb(x: npt.ArrayLike) -> ColorArray:
    """Encode linear light to sRGB values (IEC 61966-2-1), the inverse of :func:`srgb_to_linear`.

    Args:
        x: Any shape, linear light, [0, 1]. Values below 0 continue the linear segment.

    Returns:
        Same shape, sRGB-encoded, [0, 1].
    """
    x = _floats(x)
    curve = 1.055 * np.power(np.maximum(x, 0), 1 / 2.4) - 0.055
    return cast(ColorArray, np.where(x <= 0.0031308, x * 12.92, curve))


def rgb_to_lab(x: npt.ArrayLike) -> ColorArray:
    """Convert sRGB-encoded RGB to CIE L*a*b* under D65, 2 degree observer.

    Args:
        x: (..., 3), sRGB-encoded, [0, 1].

    Returns:
        (..., 3): L* in [0, 100], a* and b* in about [-110, 110].
    """
    linear = srgb_to_linear(x)
    matrix = (_RGB_TO_XYZ / _WHITE_D65[:, None]).T.astype(linear.dtype)
    xyz = linear @ matrix
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.empty_like(f)
    lab[..., 0] = 116 * f[..., 1] - 16
    lab[..., 1] = 500 * (f[..., 0] - f[..., 1])
    lab[..., 2] = 200 * (f[..., 1] - f[..., 2])
    return cast(ColorArray, lab)


def lab_to_rgb(x: npt.ArrayLike) -> ColorArray:
    """Convert CIE L*a*b* (D65) to sRGB-encoded RGB, the inverse of :func:`rgb_to_lab`.

    Args:
        x: (..., 3): L*, a*, b*.

    Returns:
        (..., 3), sRGB-encoded. Colours outside the gamut lie outside [0, 1].
    """
    lab = _floats(x)
    f = np.empty_like(lab)
    f[..., 1] = (lab[..., 0] + 16) / 116
    f[..., 0] = f[..., 1] + lab[..., 1] / 500
    f[..., 2] = f[..., 1] - lab[..., 2] / 200
    # The threshold is that of rgb_to_lab, so that the two functions are inverses.
    above = f > 7.787 * 0.008856 + 16 / 116
    xyz = np.where(above, f * f * f, (f - 16 / 116) / 7.787)
    matrix = (np.linalg.inv(_RGB_TO_XYZ) * _WHITE_D65).T.astype(lab.dtype)
    return linear_to_srgb(xyz @ matrix)


def rgb_to_ycbcr(x: npt.ArrayLike) -> ColorArray:
    """Convert RGB to Y, Cb, Cr of ITU-R BT.601 at full range, as JPEG does.

    Args:
        x: (..., 3), sRGB-encoded, [0, 1].

    Returns:
        (..., 3), each in [0, 1]. Cb and Cr are 0.5 for grey.
    """
    rgb = _floats(x)
    result = np.empty_like(rgb)
    result[..., 0] = rgb @ _LUMA_601.astype(rgb.dtype)
    result[..., 1] = (rgb[..., 2] - result[..., 0]) / 1.772 + 0.5
    result[..., 2] = (rgb[..., 0] - result[..., 0]) / 1.402 + 0.5
    return result


def ycbcr_to_rgb(x: npt.ArrayLike) -> ColorArray:
    """Convert Y, Cb, Cr (BT.601, full range) to RGB, the inverse of :func:`rgb_to_ycbcr`.

    Args:
        x: (..., 3): Y, Cb, Cr in [0, 1].

    Returns:
        (..., 3), sRGB-encoded, not clipped.
    """
    ycbcr = _floats(x)
    y, cb, cr = ycbcr[..., 0], ycbcr[..., 1] - 0.5, ycbcr[..., 2] - 0.5
    result = np.empty_like(ycbcr)
    result[..., 0] = y + 1.402 * cr
    result[..., 1] = y - (0.114 * 1.772 / 0.587) * cb - (0.299 * 1.402 / 0.587) * cr
    result[..., 2] = y + 1.772 * cb
    return result


def delta_e_2000(lab1: npt.ArrayLike, lab2: npt.ArrayLike) -> ColorArray:
    """Return the CIEDE2000 colour difference with all weighting factors 1.

    Follows G. Sharma, W. Wu, E. N. Dalal, "The CIEDE2000 color-difference formula:
    implementation notes, supplementary test data, and mathematical observations", Color
    Research and Application 30(1), 2005.

    Args:
        lab1: (..., 3) L*, a*, b*.
        lab2: (..., 3) L*, a*, b*, broadcast against ``lab1``.

    Returns:
        (...,) differences, >= 0. A difference of about 1 is just noticeable.
    """
    delta_l, delta_c, delta_h, rotation = _terms_2000(lab1, lab2)
    square = delta_l**2 + delta_c**2 + delta_h**2 + rotation * delta_c * delta_h
    return cast(ColorArray, np.sqrt(np.maximum(square, 0)))


def hue_difference_2000(lab1: npt.ArrayLike, lab2: npt.ArrayLike) -> ColorArray:
    """Return the part of :func:`delta_e_2000` that differs in hue alone.

    It is the term of Delta H' in the formula, weighted by its S_H. It is 0 if a colour is grey.

    Args:
        lab1: (..., 3) L*, a*, b*.
        lab2: (..., 3) L*, a*, b*, broadcast against ``lab1``.

    Returns:
        (...,) signed differences, in the units of :func:`delta_e_2000`. Positive is towards a
        larger hue angle.
    """
    return _terms_2000(lab1, lab2)[2]


def _terms_2000(
    lab1: npt.ArrayLike, lab2: npt.ArrayLike
) -> tuple[ColorArray, ColorArray, ColorArray, ColorArray]:
    """Return CIEDE2000's weighted differences of lightness, chroma and hue, and its rotation."""
    l1, a1, b1 = np.moveaxis(_floats(lab1), -1, 0)
    l2, a2, b2 = np.moveaxis(_floats(lab2), -1, 0)
    c_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _chroma_weight(c_mean)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)
    product = c1 * c2
    turn = 2 * np.pi
    dh = h2 - h1
    dh = np.where(dh > np.pi, dh - turn, np.where(dh < -np.pi, dh + turn, dh))
    dh = np.where(product == 0, 0, dh)
    total = h1 + h2
    wide = np.abs(h1 - h2) > np.pi
    h_mean = np.where(wide, np.where(total < turn, total + turn, total - turn), total) / 2
    h_mean = np.where(product == 0, total, h_mean)
    c_mean = (c1 + c2) / 2
    light = np.square((l1 + l2) / 2 - 50)
    t = (
        1
        - 0.17 * np.cos(h_mean - np.pi / 6)
        + 0.24 * np.cos(2 * h_mean)
        + 0.32 * np.cos(3 * h_mean + np.pi / 30)
        - 0.20 * np.cos(4 * h_mean - 63 * np.pi / 180)
    )
    delta_l = (l2 - l1) / (1 + 0.015 * light / np.sqrt(20 + light))
    delta_c = (c2 - c1) / (1 + 0.045 * c_mean)
    delta_h = 2 * np.sqrt(product) * np.sin(dh / 2) / (1 + 0.015 * c_mean * t)
    angle = np.exp(-np.square((h_mean * (180 / np.pi) - 275) / 25)) * (np.pi / 3)
    rotation = -2 * _chroma_weight(c_mean) * np.sin(angle)
    return delta_l, delta_c, delta_h, cast(ColorArray, rotation)


def _chroma_weight(chroma: ColorArray) -> ColorArray:
    seventh = np.square(chroma * chroma * chroma) * chroma
    return cast(ColorArray, np.sqrt(seventh / (seventh + seventh.dtype.type(_25_TO_7))))


def _hue(a: ColorArray, b: ColorArray) -> ColorArray:
    angle = np.arctan2(b, a)
    return cast(ColorArray, np.where(angle < 0, angle + 2 * np.pi, angle))


def _floats(x: npt.ArrayLike) -> ColorArray:
    array = np.asarray(x)
    return array if array.dtype == np.float32 else array.astype(np.float64)
