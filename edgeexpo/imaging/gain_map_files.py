"""Gain maps in picture files that others wrote: which one a file holds, and whether it is known.

Pictures are read without their gain map. What is found here is for notes on that.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgeexpo.imaging.gain_map_metadata import HDRGM, ISO_VERSION, XMP_VERSION
from edgeexpo.imaging.jpeg_segments import (
    APP1,
    APP2,
    ISO_GAIN_MAP,
    XMP,
    further_pictures,
    segments,
)

_APPLE = b"http://ns.apple.com/HDRGainMap/1.0/"
_APPLE_ITEM = b"urn:com:apple:photo:2020:aux:hdrgainmap"
"""Name that Apple gives the gain map of a HEIF file."""

_XMP_VERSION = re.compile(rb"""hdrgm:Version\s*(?:=\s*["']|>)\s*([^"'<\s]{1,20})""")
_BRANDS_AT, _TONE_MAPPED = 8, b"tmap"


@dataclass(frozen=True)
class FoundGainMap:
    """A gain map in a file.

    Attributes:
        form: ``ISO 21496-1``, ``XMP hdrgm`` or ``Apple``.
        version: The version that the file states, or ``None`` where it states none.
        known: Whether that version is known here.
    """

    form: str
    version: str | None
    known: bool

    def __str__(self) -> str:
        return f"{self.form} version {self.version}" if self.version else self.form


def find_gain_map(data: bytes) -> FoundGainMap | None:
    """Find the gain map of a JPEG, HEIF or AVIF file.

    Where a file states one gain map in two forms, the form whose version is known counts, and
    ISO 21496-1 before the others.

    Args:
        data: Bytes of the file. Damaged ones raise nothing.
    """
    found = list(_in_jpeg(data) if data[:2] == b"\xff\xd8" else _in_heif(data))
    return min(found, key=lambda gain_map: not gain_map.known, default=None)


def _in_jpeg(data: bytes) -> Iterator[FoundGainMap]:
    # The ISO data of the picture itself hold no more than versions, and so come last.
    held = [[body for _, body in segments(jpeg)] for jpeg in (*further_pictures(data), data)]
    bodies = [segment for picture in held for segment in picture]
    for kind, body in bodies:
        if kind == APP2 and body.startswith(ISO_GAIN_MAP):
            versions = body[len(ISO_GAIN_MAP) :]
            least = struct.unpack_from(">H", versions)[0] if len(versions) >= 2 else None
            yield FoundGainMap(
                "ISO 21496-1", "unstated" if least is None else str(least), least == ISO_VERSION
            )
    for kind, body in bodies:
        if kind == APP1 and body.startswith(XMP) and HDRGM.encode() in body:
            stated = _XMP_VERSION.search(body)
            version = stated[1].decode("latin-1") if stated else "unstated"
            yield FoundGainMap("XMP hdrgm", version, version == XMP_VERSION)
    if any(kind == APP1 and _APPLE in body for kind, body in bodies):
        yield FoundGainMap("Apple", None, True)


def _in_heif(data: bytes) -> Iterator[FoundGainMap]:
    if data[4:8] != b"ftyp":
        return
    brands = data[_BRANDS_AT : int.from_bytes(data[:4], "big")]
    if _TONE_MAPPED in (brands[i : i + 4] for i in range(0, len(brands), 4)):
        yield FoundGainMap("ISO 21496-1", None, True)
    if _APPLE_ITEM in data:
        yield FoundGainMap("Apple", None, True)
