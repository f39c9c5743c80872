"""EXIF data that go from one picture file to another: what describes the shot, not the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

JPEG_LIMIT = 65533
"""Largest EXIF segment of a JPEG file, in bytes, with its prefix."""

_EXIF, _GPS, _INTEROPERABILITY, _COLOUR_SPACE = 0x8769, 0x8825, 0xA005, 0xA001
_ORIENTATION = 0x0112
_OF_THE_SHOT = {270, 271, 272, 305, 306, 315, 316, 33432, 18246, 18249}
"""Tags of a TIFF's main directory that describe the shot. Others describe the file's pixels."""

_SHOT_TIFF_TAGS = {33434, 33437, 34850, 34855, 36867, 36868, 37377, 37378, 37380, 37386}
"""Tags of the EXIF directory that some programs write into a TIFF's main directory."""


def copied(source: Image.Exif, tiff: bool) -> bytes | None:
    """Return EXIF data for an upright sRGB or Display P3 picture made of another one.

    Args:
        source: EXIF data of the other picture.
        tiff: Whether it is a TIFF file, whose main directory also describes its pixels.

    Returns:
        EXIF bytes, or ``None`` where nothing is left.
    """
    from PIL import Image

    exif = Image.Exif()
    inner = dict(source.get_ifd(_EXIF))
    inner.pop(_INTEROPERABILITY, None)
    for tag, value in source.items():
        if tiff and tag in _SHOT_TIFF_TAGS:
            inner.setdefault(tag, value)
        elif tag not in (_EXIF, _GPS, _INTEROPERABILITY) and (not tiff or tag in _OF_THE_SHOT):
            exif[tag] = value
    if gps := source.get_ifd(_GPS):
        exif.get_ifd(_GPS).update(gps)
    if _COLOUR_SPACE in inner:
        inner[_COLOUR_SPACE] = 1
    exif.get_ifd(_EXIF).update(inner)
    if not exif and not inner and not gps:
        return None
    if _ORIENTATION in source:
        exif[_ORIENTATION] = 1
    return bytes(exif.tobytes())


def trimmed(data: bytes, limit: int = JPEG_LIMIT) -> tuple[bytes, list[int]]:
    """Remove the longest values of EXIF data until the data fit.

    Returns:
        EXIF bytes of at most ``limit``, and the tags that were removed.
    """
    from PIL import Image

    removed: list[int] = []
    while len(data) > limit:
        exif = Image.Exif()
        exif.load(data)
        directories = [exif.get_ifd(_EXIF), exif.get_ifd(_GPS), exif]
        sizes = [
            (len(value), number, tag)
            for number, directory in enumerate(directories)
            for tag, value in directory.items()
            if isinstance(value, (bytes, str, tuple))
        ]
        if not sizes:
            break
        _, number, tag = max(sizes)
        del directories[number][tag]
        removed.append(tag)
        data = bytes(exif.tobytes())
    return data, removed
