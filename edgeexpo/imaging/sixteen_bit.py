"""PNG and TIFF files with 16 bits a channel, which Pillow reads as 8 bits and cannot write.

Arrays are HxWx3 uint16 RGB, except of a PNG that has other channels. The readers expect a file
that Pillow has already opened.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""Signature at the start of every PNG file."""

_LZW = 5
_PIXEL = 6  # bytes in a pixel
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Number of channels by a PNG's colour type. Palettes have 8 bits at most."""

_NAME = b"ICC profile\0\0"  # the last byte is the compression method


def read_png(data: bytes) -> np.ndarray:
    """Decode a 16-bit PNG (PNG specification, third edition, section 9).

    Args:
        data: Bytes of the file.

    Returns:
        HxWxC uint16, codes as stored: grey, grey with alpha, RGB, or RGB with alpha.

    Raises:
        ValueError: The file is damaged or interlaced.
    """
    width, height, _, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if interlaced:
        raise ValueError("it is an interlaced 16-bit PNG; save it without interlacing")
    pixel = 2 * _CHANNELS[kind]
    size = height * (width * pixel + 1)
    rows = np.frombuffer(_inflated(b"".join(png_chunks(data, b"IDAT")), size), np.uint8)
    if rows.size != size:
        raise ValueError(f"it has {rows.size} bytes of pixels, too few or too many for its size")
    rows = rows.reshape(height, width * pixel + 1)
    codes = _unfilter(rows[:, 0], rows[:, 1:].reshape(height, width, pixel))
    return np.ascontiguousarray(codes).view(">u2").astype(np.uint16)


def write_png(
    picture: np.ndarray, exif: bytes | None = None, profile: bytes | None = None
) -> bytes:
    """Encode a picture as PNG, with every row stored as its difference from the row above.

    Args:
        picture: HxWx3 uint16 RGB, sRGB-encoded unless ``profile`` is given.
        exif: EXIF data, with or without the prefix that JPEG puts before it.
        profile: ICC profile of the picture's codes. By default the file declares sRGB.
    """
    height, width, _ = picture.shape
    codes = np.ascontiguousarray(picture, ">u2").view(np.uint8).reshape(height, -1)
    rows = np.full((height, codes.shape[1] + 1), 2, np.uint8)
    rows[:, 1:] = np.diff(codes, axis=0, prepend=np.zeros_like(codes[:1]))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        **({b"sRGB": b"\0"} if profile is None else {b"iCCP": _NAME + zlib.compress(profile)}),
        **({} if exif is None else {b"eXIf": exif.removeprefix(b"Exif\0\0")}),
        b"IDAT": zlib.compress(rows.tobytes(), 6),
        b"IEND": b"",
    }
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )


def read_tiff(data: bytes, tags: Mapping[int, Any]) -> np.ndarray:
    """Decode a 16-bit RGB TIFF in strips (TIFF 6.0, Adobe note 3).

    It is uncompressed, deflated or compressed by LZW.

    Args:
        data: Bytes of the file.
        tags: First directory of the file, values by tag number.

    Returns:
        HxWx3 uint16 RGB, codes as stored.

    Raises:
        ValueError: The file is damaged, or is stored in tiles, with other compression or by plane.
    """
    decoders: dict[int, Callable[[bytes, int], bytes]] = {1: _kept, 8: _inflated, 32946: _inflated}
    compression, predictor = tags.get(259, 1), tags.get(317, 1)
    if compression == _LZW:
        decoders[_LZW] = _without_lzw(tags)
    if compression not in decoders or predictor not in (1, 2) or tags.get(284, 1) != 1:
        raise ValueError(
            f"it is a 16-bit TIFF with compression {compression}; expected an uncompressed, "
            "deflate (ZIP) or LZW one with interleaved channels: save it so, or as 16-bit PNG"
        )
    if 273 not in tags or 279 not in tags:
        raise ValueError("it is a 16-bit TIFF in tiles; save it in strips, or as 16-bit PNG")
    width, height = tags[256], tags[257]
    size, stream = height * width * _PIXEL, bytearray()
    for at, length in zip(tags[273], tags[279], strict=True):
        stream += decoders[compression](data[at : at + length], size - len(stream))
    if len(stream) != size:
        raise ValueError(f"it has {len(stream)} bytes of pixels, too few or too many for its size")
    order = "<u2" if data[:2] == b"II" else ">u2"
    picture = np.frombuffer(stream, order).astype(np.uint16).reshape(height, width, 3)
    return picture if predictor == 1 else np.cumsum(picture, axis=1, dtype=np.uint16)


def write_tiff(picture: np.ndarray, profile: bytes | None = None) -> bytes:
    """Encode a picture as a deflated little-endian TIFF of one strip.

    Args:
        picture: HxWx3 uint16 RGB, sRGB-encoded unless ``profile`` is given.
        profile: ICC profile of the picture's codes. By default the file has no profile.
    """
    height, width, _ = picture.shape
    pixels = zlib.compress(np.ascontiguousarray(picture, "<u2").tobytes(), 6)
    values = 8 + len(pixels) + len(pixels) % 2  # where the three bit depths lie
    directory_at = values + 6
    short, long, undefined = 3, 4, 7
    entries = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, values),
        (259, short, 1, 8),
        (262, short, 1, 2),
        (273, long, 1, 8),
        (277, short, 1, 3),
        (278, long, 1, height),
        (279, long, 1, len(pixels)),
        (284, short, 1, 1),
    ]
    if profile is not None:
        entries.append((34675, undefined, len(profile), directory_at))
        profile += bytes(len(profile) % 2)
        directory_at += len(profile)
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    header = b"II*\0" + struct.pack("<I", directory_at)
    padding = bytes(len(pixels) % 2)
    depths = struct.pack("<HHH", 16, 16, 16)
    return header + pixels + padding + depths + (profile or b"") + directory


def _without_lzw(tags: Mapping[int, Any]) -> Callable[[bytes, int], bytes]:
    """Return a decoder of LZW that lets libtiff, through Pillow, decode one strip of bytes.

    Pillow would reduce 16 bits to 8. A strip is therefore given to it as one row of grey pixels,
    each of which is a byte.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    row = tags[256] * _PIXEL
    rows = min(tags.get(278, tags[257]), tags[257])

    def decoded(data: bytes, most: int) -> bytes:
        width = min(rows * row, most)
        header = struct.pack("<2sHIH", b"II", 42, 8, 9)
        entries = {
            256: width,
            257: 1,
            258: 8,
            259: _LZW,
            262: 1,
            273: len(header) + 9 * 12 + 4,
            277: 1,
            278: 1,
            279: len(data),
        }
        header += b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries.items())
        with TiffImageFile(io.BytesIO(header + bytes(4) + data)) as image:
            return image.tobytes()

    return decoded


def _kept(data: bytes, most: int) -> bytes:
    return data[: most + 1]


def _inflated(data: bytes, most: int) -> bytes:
    """Decompress ``data``, but at most one byte more than ``most``."""
    inflator = zlib.decompressobj()
    found = inflator.decompress(data, most + 1)
    if len(found) <= most and not inflator.eof:
        raise ValueError("its compressed pixels end too early")
    return found


def png_chunks(data: bytes, wanted: bytes) -> list[bytes]:
    """Return the bodies of all chunks of a PNG that are called ``wanted``."""
    at, found = len(PNG_SIGNATURE), []
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == wanted:
            found.append(data[at + 8 : at + 8 + length])
        at += length + 12
    return found


def _unfilter(filters: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Undo PNG's row filters along anti-diagonals, whose pixels do not depend on each other."""
    if filters.max(initial=0) > 4:
        raise ValueError(f"it uses row filter {filters.max()}; a PNG has 0 to 4")
    height, width, depth = codes.shape
    grid = np.zeros((height + 1, width + 1, depth), np.int16)
    grid[1:, 1:] = codes
    flat = grid.reshape(-1, depth)
    kinds = filters[:, None].astype(np.intp)
    for diagonal in range(height + width - 1):
        top, bottom = max(0, diagonal - width + 1), min(height - 1, diagonal)
        # One row down and one column left is `width` further in a grid of width + 1 columns.
        first = (top + 1) * (width + 1) + diagonal - top + 1
        last = first + (bottom - top) * width + 1
        left, up, corner = (
            flat[first - back : last - back : width] for back in (1, width + 1, width + 2)
        )
        predicted = np.choose(
            kinds[top : bottom + 1],
            [np.int16(0), left, up, (left + up) >> 1, _paeth(left, up, corner)],
        )
        here = flat[first:last:width]
        here[...] = (here + predicted) & 255
    return grid[1:, 1:].astype(np.uint8)


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    return np.where(
        (to_left <= to_up) & (to_left <= to_corner),
        left,
        np.where(to_up <= to_corner, up, corner),
    )
