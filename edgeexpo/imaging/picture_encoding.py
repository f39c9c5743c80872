"""Encoding of pictures as JPEG, PNG, TIFF and AVIF, with EXIF data and a profile."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from edgeexpo.imaging import avif, sixteen_bit
from edgeexpo.imaging.exif_copy import of_another_space, trimmed

_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
"""Options of Pillow for the formats that lose something."""


def encode_picture(
    picture: np.ndarray, kind: str, exif: bytes | None = None, profile: bytes | None = None
) -> bytes:
    """Encode a picture as :func:`~edgeexpo.imaging.files.write_picture` writes it.

    Args:
        picture: HxWx3 uint8 or uint16 RGB. A JPEG takes uint8 only.
        kind: ``JPEG``, ``PNG``, ``TIFF`` or ``AVIF``.
        exif: EXIF data. A JPEG gets what fits into it. A TIFF or AVIF made of uint16 gets none.
        profile: ICC profile of the codes, by default sRGB. An AVIF made of uint16 states Display P3
            by a code instead.

    Raises:
        MissingDependencyError: The package that writes the format is not installed.
    """
    if exif is not None and profile is not None:
        exif = of_another_space(exif)
    if picture.dtype == np.uint16:
        if kind == "PNG":
            return sixteen_bit.write_png(picture, exif, profile)
        if kind == "AVIF":
            return avif.encode_picture(picture, p3=profile is not None)
        return sixteen_bit.write_tiff(picture, profile)
    from PIL import Image, ImageCms

    stream = io.BytesIO()
    options: dict[str, Any] = dict(_OPTIONS.get(kind, {}))
    if profile is None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options["icc_profile"] = profile
    if exif is not None:
        options["exif"] = trimmed(exif)[0] if kind == "JPEG" else exif
    Image.fromarray(picture).save(stream, kind, **options)
    return stream.getvalue()
