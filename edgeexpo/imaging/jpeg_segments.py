"""Segments of a JPEG file: reading them, adding some, and the index of a file of several pictures.

The index is CIPA DC-007 (Multi-Picture Format, MPF).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

START, APP1, APP2 = 0xD8, 0xE1, 0xE2
"""Second bytes of the markers of a file's start and of two kinds of segments."""

XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""Start of an APP1 segment that holds XMP data."""

ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
"""Start of an APP2 segment that holds metadata of a gain map (ISO 21496-1)."""

_MPF = b"MPF\0"
_ENTRIES, _ENTRY = 0xB002, 16
_PRIMARY = 0x030000
_DIRECTORY_BYTES = 50
"""Bytes of the index before its entries: a header, three tags and an end."""

Segment = tuple[int, bytes]
"""The second byte of a segment's marker, and the segment's bytes without marker and length."""


def segments(jpeg: bytes) -> Iterator[tuple[int, Segment]]:
    """Yield the segments before a picture's pixels, each with the place of its marker.

    The sequence ends early where the file is damaged.
    """
    at = 2
    while jpeg[:2] == b"\xff\xd8" and at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        kind, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if kind == 0xDA or length < 2:
            return
        yield at, (kind, jpeg[at + 4 : at + 2 + length])
        at += 2 + length


def with_segments(jpeg: bytes, added: Sequence[Segment]) -> bytes:
    """Return a JPEG file with further segments, behind those for applications that it has.

    Raises:
        ValueError: A segment is longer than the 65533 bytes that a segment holds.
    """
    at = _end_of_applications(jpeg)
    return jpeg[:at] + b"".join(map(_encoded, added)) + jpeg[at:]


def joined(primary: bytes, added: Sequence[Segment], second: bytes) -> bytes:
    """Return a file of two pictures: a primary one and one that belongs to it.

    Args:
        primary: JPEG file of the picture that every program shows.
        added: Segments that the primary picture gets besides the index.
        second: JPEG file of the other picture.
    """
    before = _end_of_applications(primary) + sum(len(_encoded(segment)) for segment in added)
    index_bytes = len(_encoded((APP2, _index(0, 0, 0))))
    size = len(with_segments(primary, added)) + index_bytes
    # Places are counted from the header of the index, behind marker, length and name.
    place = size - (before + 4 + len(_MPF))
    index = (APP2, _index(size, len(second), place))
    return with_segments(primary, [*added, index]) + second


def further_pictures(jpeg: bytes) -> list[bytes]:
    """Return the pictures behind the primary one that the index of a file names.

    Each result begins with its picture and may go on behind it. Places outside the file are left
    out.
    """
    for at, (kind, body) in segments(jpeg):
        if kind == APP2 and body.startswith(_MPF):
            header = at + 4 + len(_MPF)
            try:
                places = _places(body[len(_MPF) :])
            except (struct.error, KeyError):
                return []
            found = [jpeg[header + place :] for place in places if place]
            return [picture for picture in found if picture[:2] == b"\xff\xd8"]
    return []


def _places(index: bytes) -> list[int]:
    order = {b"MM": ">", b"II": "<"}[index[:2]]
    (directory,) = struct.unpack_from(order + "I", index, 4)
    (count,) = struct.unpack_from(order + "H", index, directory)
    for i in range(count):
        tag, _, length, at = struct.unpack_from(order + "HHII", index, directory + 2 + 12 * i)
        if tag == _ENTRIES:
            starts = range(at, at + length // _ENTRY * _ENTRY, _ENTRY)
            return [struct.unpack_from(order + "I", index, start + 8)[0] for start in starts]
    return []


def _index(primary_bytes: int, second_bytes: int, place: int) -> bytes:
    tags = struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 2)
    tags += struct.pack(">HHII", _ENTRIES, 7, 2 * _ENTRY, _DIRECTORY_BYTES)
    directory = struct.pack(">2sHIH", b"MM", 42, 8, 3) + tags + bytes(4)
    entries = struct.pack(">IIIHH", _PRIMARY, primary_bytes, 0, 0, 0)
    return _MPF + directory + entries + struct.pack(">IIIHH", 0, second_bytes, place, 0, 0)


def _end_of_applications(jpeg: bytes) -> int:
    end = 2
    for at, (kind, body) in segments(jpeg):
        if not 0xE0 <= kind <= 0xEF:
            break
        end = at + 4 + len(body)
    return end


def _encoded(segment: Segment) -> bytes:
    kind, body = segment
    if len(body) > 65533:
        raise ValueError(f"a segment has {len(body)} bytes; a JPEG file holds 65533 in one")
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body
