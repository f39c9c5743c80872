"""Decoding of the pixels of an opened picture file: sRGB or Display P3, 8 or 16 bits a channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeexpo.errors import PictureError
from edgeexpo.imaging import profiles, raw_files, sixteen_bit
from edgeexpo.imaging.opening import tags
from edgeexpo.imaging.other_channels import for_profile, of_three
from edgeexpo.imaging.stated_colours import stated_profile

if TYPE_CHECKING:
    from PIL import Image

_PHOTOMETRIC = 262
"""Tag of a TIFF; 0 says that white is code 0, which Pillow does not undo with 16 bits."""


def decoded(path: Path, image: Image.Image, data: bytes, keep_p3: bool) -> np.ndarray:
    """Decode an opened picture and convert it to sRGB.

    Args:
        path: The file, for messages.
        image: The opened picture.
        data: Bytes of the file.
        keep_p3: Keep the codes of a picture in Display P3 unconverted.

    Returns:
        HxWx3 RGB as stored, not turned. The type is uint16 where :func:`is_deep`, else uint8.

    Raises:
        PictureError: The pixels cannot be decoded, or have 16 bits a channel and a profile that
            needs conversion.
        MissingDependencyError: The package that reads the format is not installed.
    """
    if image.format == raw_files.RAW_FORMAT:
        return raw_files.developed(path, data)
    if is_deep(image, data):
        return _read_deep(path, image, data, keep_p3)
    image.load()
    return _read_shallow(path, image, data, keep_p3)


def is_deep(image: Image.Image, data: bytes) -> bool:
    """Return whether the pixels of an opened file are given with 16 bits a channel."""
    if image.format == raw_files.RAW_FORMAT:
        return True
    if image.format == "PNG":
        return data[24] == 16
    if image.format != "TIFF":
        return False
    return tags(image).get(258) == (16, 16, 16) or image.mode.startswith("I;16")


def _read_shallow(path: Path, image: Image.Image, data: bytes, keep_p3: bool) -> np.ndarray:
    profile = stated_profile(path, image, data)
    if profile is not None and not (keep_p3 and profiles.is_display_p3(path, profile)):
        image = profiles.to_srgb(path, for_profile(path, image, profile), profile)
    return np.array(image.convert("RGB"))


def _read_deep(path: Path, image: Image.Image, data: bytes, keep_p3: bool) -> np.ndarray:
    profile = stated_profile(path, image, data)
    is_p3 = profile is not None and profiles.is_display_p3(path, profile)
    # Pillow offers Little CMS no 16-bit RGB mode, and a conversion in 8 bits would lose precision.
    if profile is not None and not (keep_p3 and is_p3):
        raise PictureError(
            f"{path} has 16 bits a channel and the profile {profiles.name(path, profile)!r}; "
            f"expected sRGB: convert it to sRGB{', or keep Display P3' if is_p3 else ''}"
        )
    if image.format == "PNG":
        return of_three(sixteen_bit.read_png(data))
    if image.mode != "RGB":
        codes = np.array(image).astype(np.uint16)
        return of_three(65535 - codes if tags(image).get(_PHOTOMETRIC) == 0 else codes)
    return sixteen_bit.read_tiff(data, tags(image))
