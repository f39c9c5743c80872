"""Pictures whose channels are not red, green and blue: greyscale, CMYK, and those with alpha."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeexpo.imaging import profiles

if TYPE_CHECKING:
    from PIL import Image

_GREY = "greyscale; its three channels are made equal"
_ALPHA = "alpha is dropped, and the colours below it are used"

CONVERTED = {
    "1": _GREY,
    "L": _GREY,
    "I;16": _GREY,
    "I;16B": _GREY,
    "I;16L": _GREY,
    "LA": f"greyscale with alpha; {_ALPHA}",
    "RGBA": f"RGBA; {_ALPHA}",
    "PA": f"a palette with alpha; {_ALPHA}",
    "CMYK": "CMYK; it is converted to sRGB",
}
"""Modes of Pillow that are converted to RGB: what the picture is, and what is done, in words."""

_OWN_MODES = {"GRAY": "L", "CMYK": "CMYK"}
"""Mode of Pillow in which a profile is applied, by the profile's colour space."""


def conversion(image: Image.Image) -> str | None:
    """Return in words what a picture is and how it becomes RGB, or ``None`` for RGB."""
    if image.mode not in CONVERTED and "transparency" in image.info:
        return f"transparent in places; {_ALPHA}"
    return CONVERTED.get(image.mode)


def for_profile(path: Path, image: Image.Image, profile: bytes) -> Image.Image:
    """Return a picture in the mode in which its profile is applied.

    Raises:
        PictureError: The profile cannot be read.
    """
    return image.convert(_OWN_MODES.get(profiles.space(path, profile), "RGB"))


def of_three(codes: np.ndarray) -> np.ndarray:
    """Return HxWx3 codes of HxW grey ones, or of HxWxC ones with grey or alpha.

    Args:
        codes: HxW, or HxWxC with 1 channel (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
    """
    if codes.ndim == 2:
        codes = codes[..., None]
    return np.repeat(codes[..., :1], 3, axis=2) if codes.shape[2] < 3 else codes[..., :3]
