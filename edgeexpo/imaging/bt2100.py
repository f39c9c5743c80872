"""Encoding of radiance for HDR displays: PQ and HLG of ITU-R BT.2100, with BT.2020 primaries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.arrays import Picture

_TO_2020 = np.array(
    [
        [0.627403896, 0.329283038, 0.043313066],
        [0.069097289, 0.919540395, 0.011362316],
        [0.016391439, 0.088013308, 0.895595253],
    ],
    np.float32,
)
"""Matrix from BT.709 primaries to BT.2020 primaries in linear light (ITU-R BT.2087)."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

_A = 0.17883277
_B = 1 - 4 * _A
_C = 0.5 - _A * np.log(4 * _A)


def bt709_to_bt2020(picture: Picture) -> Picture:
    """Convert linear light from BT.709 primaries to BT.2020 primaries (ITU-R BT.2087).

    Args:
        picture: HxWx3, linear light of any scale, BT.709 primaries.

    Returns:
        HxWx3, linear light of the same scale, BT.2020 primaries, not clipped.
    """
    return picture @ _TO_2020.T


def pq(luminance: npt.ArrayLike) -> Picture:
    """Encode luminance with the perceptual quantiser (PQ, SMPTE ST 2084).

    Args:
        luminance: Any shape, cd/m^2, clipped to [0, 10000].

    Returns:
        The same shape, float32 signal in [0, 1]. 10000 cd/m^2 is 1.
    """
    y = (np.clip(np.asarray(luminance, np.float32), 0, 10_000) / np.float32(10_000)) ** _M1
    return np.asarray(((_C1 + _C2 * y) / (1 + _C3 * y)) ** _M2, np.float32)


def hlg(radiance: npt.ArrayLike) -> Picture:
    """Encode scene light with hybrid log-gamma (HLG, ITU-R BT.2100).

    Args:
        radiance: Any shape, linear scene light, clipped to [0, 1].

    Returns:
        The same shape, float32 signal in [0, 1].
    """
    light = np.clip(np.asarray(radiance, np.float32), 0, 1)
    low = np.sqrt(3 * light)
    high = _A * np.log(np.maximum(12 * light - _B, 1e-6)) + _C
    return np.asarray(np.where(light <= 1 / 12, low, high), np.float32)


def encoded(radiance: Picture, transfer: str, peak_nits: float) -> Picture:
    """Encode radiance as a display signal of ITU-R BT.2100.

    Args:
        radiance: HxWx3, linear light, BT.709 primaries. Values are clipped to [0, 1], where 1 is
            the brightest radiance that is shown.
        transfer: ``pq`` or ``hlg``.
        peak_nits: Luminance in cd/m^2 that radiance 1 has under ``pq``. HLG leaves the luminance
            to the display and ignores this argument.

    Returns:
        HxWx3 float32 in [0, 1], BT.2020 primaries.
    """
    light = bt709_to_bt2020(np.clip(radiance, 0, 1))
    return hlg(light) if transfer == "hlg" else pq(light * np.float32(peak_nits))
