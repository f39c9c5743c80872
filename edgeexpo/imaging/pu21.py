"""PU21, a perceptually uniform encoding with which metrics of 8-bit pictures work on HDR pictures.

Follows R. Mantiuk, M. Azimi, "PU21: A novel perceptually uniform encoding for adapting existing
quality metrics for HDR", Picture Coding Symposium 2021, with the parameters for banding and glare.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError

Values = npt.NDArray[np.float64]
"""A float64 array of luminances or codes."""

_SMALLEST, _LARGEST = 0.005, 10_000.0
"""Smallest and largest luminance that the encoding is fitted to, in cd/m^2.

Luminances outside this range are clipped."""

PEAK = 256.0
"""Peak code of :func:`pu21_psnr`, that of 100 cd/m^2, the white of a common display."""

BEST_PSNR = 120.0
"""PSNR in dB that equal pictures get, because JSON has no infinity."""

_P = (
    0.353487901,
    0.3734658629,
    8.277049286e-05,
    0.9062562627,
    0.09150303166,
    0.9099517204,
    596.3148142,
)


def pu21(luminance: npt.ArrayLike) -> Values:
    """Return the perceptually uniform code of a luminance.

    ``V = p6 (((p0 + p1 Y^p3) / (1 + p2 Y^p3))^p4 - p5)``, at least 0.

    Args:
        luminance: Any shape, absolute luminance or linear RGB on the same scale, in cd/m^2,
            clipped to [0.005, 10000].

    Returns:
        The same shape, float64, 0 to about 595. The code of 100 cd/m^2 is 256.
    """
    y = np.clip(np.asarray(luminance, np.float64), _SMALLEST, _LARGEST) ** _P[3]
    code = _P[6] * (((_P[0] + _P[1] * y) / (1 + _P[2] * y)) ** _P[4] - _P[5])
    return np.asarray(np.maximum(code, 0))


def pu21_psnr(reference: npt.ArrayLike, candidate: npt.ArrayLike) -> float:
    """Return the PSNR of two HDR pictures in the PU21 encoding, with the peak 256.

    Args:
        reference: HxWx3 linear RGB (or HxW luminance) in cd/m^2, as a display shows it.
        candidate: The same shape and scale.

    Returns:
        PSNR in dB, at most 120, which is the value of equal pictures.

    Raises:
        PictureError: The shapes differ.
    """
    x, y = pu21(reference), pu21(candidate)
    if x.shape != y.shape:
        sizes = ["x".join(map(str, s.shape)) for s in (x, y)]
        raise PictureError(
            f"the reference is {sizes[0]}, the picture {sizes[1]}; expected one size"
        )
    error = float(np.mean((x - y) ** 2))
    return BEST_PSNR if error == 0 else min(BEST_PSNR, float(10 * np.log10(PEAK**2 / error)))
