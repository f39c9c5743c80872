"""HEIF and AVIF files: which of the two a file is, opening of HEIF, and what a file states.

Both are boxes of ISO/IEC 14496-12. Items and their properties are those of ISO/IEC 23008-12.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexpo.errors import MissingDependencyError

if TYPE_CHECKING:
    from PIL import Image

_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"mif2"}

_DAMAGED = (struct.error, IndexError, KeyError)


@dataclass(frozen=True)
class Stated:
    """What a file states of its primary picture.

    Attributes:
        colours: Codes of primaries and transfer function (ITU-T H.273), or ``None``.
        bits: Bits a channel, 8 where the file does not say.
    """

    colours: tuple[int, int] | None = None
    bits: int = 8


def is_avif(data: bytes) -> bool:
    """Return whether a file is AVIF by its brands."""
    return bool(_brands(data) & _AVIF)


def is_heif(data: bytes) -> bool:
    """Return whether a file is HEIF, and not AVIF, by its brands."""
    return bool(_brands(data) & _HEIF) and not is_avif(data)


def open_heif(path: Path, data: bytes) -> Image.Image:
    """Open a HEIF picture, upright as the file says, with 8 bits a channel.

    Args:
        path: The file, for messages.
        data: Bytes of the file.

    Raises:
        MissingDependencyError: The package pillow-heif is not installed.
        SyntaxError: The file is damaged.
    """
    # The read-only package of the same maker, pi-heif 1.4.0, crashes on some damaged files.
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is HEIF (HEIC) and pillow-heif is not installed; "
            "expected it for such files: pip install 'edgeexpo[photo]'"
        ) from error
    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image


def check_avif(path: Path) -> None:
    """Raise where Pillow cannot decode AVIF.

    Raises:
        MissingDependencyError: Pillow was built without AVIF.
    """
    from PIL import features

    if not features.check("avif"):
        raise MissingDependencyError(
            f"{path} is AVIF and this Pillow was built without it; "
            "expected one of the package index: pip install -U pillow"
        )


def stated(data: bytes) -> Stated:
    """Return what a HEIF or AVIF file states of its primary picture.

    Args:
        data: Bytes of the file. Of a damaged one, what can be read counts.
    """
    colours, bits = None, 8
    if not _brands(data):
        return Stated()
    try:
        for kind, body in _properties(data):
            if kind == b"colr" and body[:4] == b"nclx":
                primaries, transfer = struct.unpack_from(">HH", body, 4)
                colours = (primaries, transfer)
            if kind == b"pixi":
                bits = max(body[5 : 5 + body[4]], default=8)
    except _DAMAGED:
        pass
    return Stated(colours, bits)


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return {data[at : at + 4] for at in (8, *range(16, end, 4))}


def _properties(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and bytes of the properties of the primary item."""
    meta = dict(_boxes(dict(_boxes(data))[b"meta"][4:]))
    primary = meta[b"pitm"]
    item = int.from_bytes(primary[4 : 6 if primary[0] == 0 else 8], "big")
    inside = dict(_boxes(meta[b"iprp"]))
    every = list(_boxes(inside[b"ipco"]))
    for number in _associated(inside[b"ipma"], item):
        if 0 < number <= len(every):
            yield every[number - 1]


def _associated(body: bytes, item: int) -> list[int]:
    """Return the numbers of the properties, from 1, that belong to an item."""
    wide_item, wide_number = body[0] >= 1, body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(count):
        (found,) = struct.unpack_from(">I" if wide_item else ">H", body, at)
        at += 4 if wide_item else 2
        held, at = body[at], at + 1
        form = f">{held}{'H' if wide_number else 'B'}"
        numbers = struct.unpack_from(form, body, at)
        at += struct.calcsize(form)
        if found == item:
            return [number & (0x7FFF if wide_number else 0x7F) for number in numbers]
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and bytes of the boxes that follow each other in ``data``."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if size == 0 else at + size
        if end < start:
            return
        yield kind, data[start:end]
        at = end
