"""AVIF files with 10 bits a channel, through the package imagecodecs (libavif).

Pillow writes AVIF with 8 bits. The colours are stated by codes of ITU-T H.273 (``nclx``), because
imagecodecs writes no ICC profile and no EXIF data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeexpo.errors import MissingDependencyError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.bt2100 import bt709_to_bt2020, pq

BITS = 10
"""Bits a channel of the files that are written here."""

QUALITY = 95
"""Quality from 0 to 100: a grey ramp comes back within one code of 10 bits."""

_SRGB, _P3, _HDR = (1, 13, 1), (12, 13, 1), (9, 16, 9)
"""Codes of primaries, transfer function and matrix."""

_TOP = (1 << BITS) - 1


def encode_picture(picture: np.ndarray, p3: bool = False) -> bytes:
    """Encode a picture for ordinary displays.

    Args:
        picture: HxWx3 uint16 RGB, 0 to 65535, sRGB-encoded. 10 bits of each code are kept.
        p3: Whether the primaries are those of Display P3 instead of sRGB.

    Raises:
        MissingDependencyError: imagecodecs is not installed.
    """
    return _encoded(np.asarray(picture / np.float32(65535), np.float32), _P3 if p3 else _SRGB)


def encode_radiance(radiance: Picture, white_nits: float) -> bytes:
    """Encode radiance for HDR displays: PQ with BT.2020 primaries (ITU-R BT.2100).

    Args:
        radiance: HxWx3 linear RGB, BT.709 primaries, >= 0. Luminance above 10000 cd/m^2 is clipped.
        white_nits: Luminance of radiance 1 in cd/m^2.

    Raises:
        MissingDependencyError: imagecodecs is not installed.
    """
    light = bt709_to_bt2020(np.asarray(radiance, np.float32)) * np.float32(white_nits)
    return _encoded(pq(light), _HDR)


def load_imagecodecs() -> Any:
    """Return the package imagecodecs.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingDependencyError(
            "imagecodecs is not installed; expected it for AVIF with 10 bits a channel: "
            "pip install 'edgeexpo[photo]'"
        ) from error
    return imagecodecs


def _encoded(signal: Picture, codes: tuple[int, int, int]) -> bytes:
    primaries, transfer, matrix = codes
    return bytes(
        load_imagecodecs().avif_encode(
            np.rint(signal * _TOP).astype(np.uint16),
            level=QUALITY,
            bitspersample=BITS,
            pixelformat="444",
            primaries=primaries,
            transfer=transfer,
            matrix=matrix,
        )
    )
