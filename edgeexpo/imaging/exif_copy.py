"""EXIF data that go from one picture file to another: what describes the shot, not the file."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

JPEG_LIMIT = 65533
"""Largest EXIF segment of a JPEG file, in bytes, with its prefix."""

_EXIF, _GPS, _INTEROPERABILITY, _COLOUR_SPACE = 0x8769, 0x8825, 0xA005, 0xA001
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations of pictures whose rows become columns."""

_RESOLUTIONS = (282, 283)
"""Tags of the main directory: pixels per unit across and down."""

_SRGB, _UNCALIBRATED = 1, 0xFFFF
"""EXIF colour spaces: sRGB, and any other one, which a profile tells."""

_OF_THE_SHOT = {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 316, 33432, 18246, 18249}
"""Tags of a TIFF's main directory that describe the shot. Others describe the file's pixels."""

_SHOT_TIFF_TAGS = {33434, 33437, 34850, 34855, 36867, 36868, 37377, 37378, 37380, 37386}
"""Tags of the EXIF directory that some programs write into a TIFF's main directory."""

_OF_THE_FILE = {
    *(254, 255, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325),
    *(330, 338, 339, 347, 513, 514, 700, 34377, 34675),
}
"""Tags of a main directory that describe how its file stores pixels, or point into that file."""

_OF_THE_COLOURS = {301, 318, 319, 529, 532}
"""Tags of a main directory that describe colours by curve, primaries or matrix."""

_PICTURE_SIZE, _GAMMA = {0xA002, 0xA003}, 0xA500
"""Tags of the EXIF directory: width and height, and the gamma of the file's colours."""

_TAG_ERRORS = (struct.error, ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""Pillow's errors for a value that the tag's type cannot hold, besides its warnings."""

Directories = dict[int | None, dict[int, Any]]
"""Values by tag number, by the tag of their directory. ``None`` is the main directory."""


def copied(source: Image.Exif, tiff: bool) -> tuple[bytes | None, list[int]]:
    """Return EXIF data for an upright sRGB or Display P3 picture made of another one.

    Size and colours of the other file are left out, because the new file states its own.

    Args:
        source: EXIF data of the other picture.
        tiff: Whether it is a TIFF file, whose main directory also describes its pixels.

    Returns:
        EXIF bytes, or ``None`` where nothing is left, and the tags that could not be encoded.
    """
    found = _directories(source)
    main, inner = found[None], found[_EXIF]
    for tag in _OF_THE_FILE | _OF_THE_COLOURS:
        main.pop(tag, None)
    for tag in (_INTEROPERABILITY, _GAMMA, *_PICTURE_SIZE):
        inner.pop(tag, None)
    if tiff:
        for tag in main.keys() & _SHOT_TIFF_TAGS:
            inner.setdefault(tag, main[tag])
        found[None] = main = {tag: main[tag] for tag in main.keys() & _OF_THE_SHOT}
    if _COLOUR_SPACE in inner:
        inner[_COLOUR_SPACE] = _SRGB
    if not any(found.values()):
        return None, []
    if _ORIENTATION in source:
        if main.get(_ORIENTATION) in _ON_ITS_SIDE and main.keys() >= {*_RESOLUTIONS}:
            across, down = _RESOLUTIONS
            main[across], main[down] = main[down], main[across]
        main[_ORIENTATION] = 1
    invalid = _remove_invalid(found)
    return _encoded(found), invalid


def of_another_space(data: bytes) -> bytes:
    """Return EXIF data that say that the colours are not sRGB, for a file with another profile.

    EXIF data that say nothing about colours stay as they are.
    """
    from PIL import Image

    exif = Image.Exif()
    exif.load(data)
    found = _directories(exif)
    if _COLOUR_SPACE not in found[_EXIF]:
        return data
    found[_EXIF][_COLOUR_SPACE] = _UNCALIBRATED
    return _encoded(found)


def trimmed(data: bytes, limit: int = JPEG_LIMIT) -> tuple[bytes, list[int]]:
    """Remove the longest values of EXIF data until the data fit.

    Returns:
        EXIF bytes of at most ``limit``, and the tags that were removed.
    """
    from PIL import Image

    if len(data) <= limit:
        return data, []
    exif = Image.Exif()
    exif.load(data)
    found = _directories(exif)
    by_length = sorted(
        (_length(value), name or 0, tag)
        for name, directory in found.items()
        for tag, value in directory.items()
    )
    removed: list[int] = []
    while len(data) > limit and by_length:
        excess = len(data) - limit
        while excess > 0 and by_length:
            length, name, tag = by_length.pop()
            del found[name or None][tag]
            removed.append(tag)
            excess -= length
        data = _encoded(found)
    return data, removed


def _directories(exif: Image.Exif) -> Directories:
    """Return the values of the directories that are copied."""
    pointers = (_EXIF, _GPS, _INTEROPERABILITY)
    main = {tag: value for tag, value in exif.items() if tag not in pointers}
    return {None: main, _EXIF: dict(exif.get_ifd(_EXIF)), _GPS: dict(exif.get_ifd(_GPS))}


def _encoded(found: Directories) -> bytes:
    """Encode EXIF data. Text keeps its bytes, which Pillow reads as Latin-1 and writes as ASCII."""
    from PIL import Image

    exif = Image.Exif()
    for name, directory in found.items():
        # Asking for an empty directory would make Pillow write one.
        target = exif if name is None else exif.get_ifd(name) if directory else {}
        for tag, value in directory.items():
            foreign = isinstance(value, str) and not value.isascii()
            target[tag] = value.encode("latin-1", "replace") if foreign else value
    return bytes(exif.tobytes())


def _length(value: Any) -> int:
    """Return about how many bytes a value takes in a file, with its entry in the directory."""
    if isinstance(value, (bytes, str)):
        return 12 + len(value)
    return 12 + 8 * len(value) if isinstance(value, tuple) else 20


def _remove_invalid(found: Directories) -> list[int]:
    """Remove the values that Pillow cannot encode, and return their tags."""
    if _can_be_encoded(found):
        return []
    removed = []
    for name, directory in found.items():
        for tag, value in list(directory.items()):
            if not _can_be_encoded({name: {tag: value}}):
                del directory[tag]
                removed.append(tag)
    return removed


def _can_be_encoded(found: Directories) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _encoded(found)
    except (*_TAG_ERRORS, UserWarning):
        return False
    return True
