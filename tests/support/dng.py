"""A DNG file of a made-up camera (Adobe DNG 1.4): a mosaic of 16 bits, uncompressed."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np

SRGB_FROM_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556],
     [0.0556434, -0.2040259, 1.0572252]]
)  # fmt: skip


def dng(linear, orientation=1, seconds=Fraction(1, 60), suffix_tags=True):
    """Return a DNG of linear sRGB light.

    Args:
        linear: HxWx3 in [0, 1], even sides; 1 is the white level.
        orientation: EXIF orientation of the file.
        seconds: Exposure time; the f-number is 8 and the sensitivity ISO 100.
        suffix_tags: Whether the tags that make it a DNG are written.
    """
    height, width, _ = linear.shape
    mosaic = np.empty((height, width))
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = linear[row::2, column::2, channel]
    pixels = np.rint(mosaic * 65535).astype("<u2").tobytes()
    shot = _directory(
        [
            (33434, 5, [seconds.numerator, seconds.denominator]),
            (33437, 5, [8, 1]),
            (34855, 3, [100]),
        ],
        8,
    )
    at = 8 + len(shot)
    at += at % 2
    matrix = [n for v in SRGB_FROM_XYZ.ravel() for n in (round(v * 10000), 10000)]
    tags = [
        (254, 4, [0]),
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [16]),
        (259, 3, [1]),
        (262, 3, [32803]),
        (271, 2, b"maker\0"),
        (272, 2, b"model\0"),
        (273, 4, [at]),
        (274, 3, [orientation]),
        (277, 3, [1]),
        (278, 4, [height]),
        (279, 4, [len(pixels)]),
        (284, 3, [1]),
        (33421, 3, [2, 2]),
        (33422, 1, bytes([0, 1, 1, 2])),
        (34665, 4, [8]),
        *([(50706, 1, bytes([1, 4, 0, 0])), (50708, 2, b"maker model\0")] if suffix_tags else []),
        (50714, 4, [0]),
        (50717, 4, [65535]),
        (50721, 10, matrix),
        (50728, 5, [1, 1, 1, 1, 1, 1]),
        (50778, 3, [21]),
    ]
    first = at + len(pixels)
    first += first % 2
    return ((struct.pack("<2sHI", b"II", 42, first) + shot).ljust(at, b"\0") + pixels).ljust(
        first, b"\0"
    ) + _directory(tags, first)


def _directory(tags, at):
    """Encode a directory of TIFF 6.0 that lies at a place of the file."""
    forms = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 10: "i"}
    values = b""
    entries = struct.pack("<H", len(tags))
    start = at + 2 + 12 * len(tags) + 4
    for tag, kind, numbers in tags:
        data = struct.pack(f"<{len(numbers)}{forms[kind]}", *numbers)
        count = len(numbers) // (2 if kind in (5, 10) else 1)
        field = data.ljust(4, b"\0")
        if len(data) > 4:
            field = struct.pack("<I", start + len(values))
            values += data + bytes(len(data) % 2)
        entries += struct.pack("<HHI", tag, kind, count) + field
    return entries + bytes(4) + values
