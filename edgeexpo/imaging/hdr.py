"""Reading and writing of Radiance (.hdr) pictures in Greg Ward's RGBE format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError

_RUNS = range(8, 32768)
"""Widths in pixels that the format run-length encodes."""


def read_hdr(path: Path) -> npt.NDArray[np.float32]:
    """Read a ``.hdr`` file in the usual orientation (``-Y height +X width``).

    Returns:
        HxWx3 float32, linear radiance, RGB.

    Raises:
        PictureError: The file is not a Radiance picture of that orientation, or it is truncated.
    """
    data = path.read_bytes()
    header, _, rest = data.partition(b"\n\n")
    size, _, body = rest.partition(b"\n")
    words = size.split()
    if not header.startswith(b"#?") or len(words) != 4 or words[0] != b"-Y" or words[2] != b"+X":
        raise PictureError(f"{path} is not a Radiance .hdr picture; expected RGBE, -Y and +X")
    height, width = int(words[1]), int(words[3])
    try:
        rgbe = _scanlines(body, height, width)
    except (IndexError, ValueError) as error:
        raise PictureError(f"{path} is truncated or damaged; expected {width}x{height}") from error
    scale = np.ldexp(np.float32(1), rgbe[..., 3].astype(np.int32) - 136)
    scale[rgbe[..., 3] == 0] = 0
    return np.asarray((rgbe[..., :3] + np.float32(0.5)) * scale[..., None], np.float32)


def _scanlines(body: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    if len(body) == height * width * 4:
        return np.frombuffer(body, np.uint8).reshape(height, width, 4)
    out = np.empty((height, 4, width), np.uint8)
    position = 0
    for row in out:
        if body[position] != 2 or body[position + 1] != 2:
            raise ValueError("scan line is not run-length encoded")
        position += 4
        for channel in row:
            position = _unpack(body, position, channel)
    return out.transpose(0, 2, 1)


def _unpack(body: bytes, position: int, channel: npt.NDArray[np.uint8]) -> int:
    filled = 0
    while filled < len(channel):
        count = body[position]
        if count > 128:
            count -= 128
            channel[filled : filled + count] = body[position + 1]
            position += 2
        else:
            values = np.frombuffer(body, np.uint8, count, position + 1)
            channel[filled : filled + count] = values
            position += 1 + count
        filled += count
    return position


def encode_hdr(radiance: npt.NDArray[np.float32]) -> bytes:
    """Encode radiance as the bytes of a ``.hdr`` file.

    Each pixel holds 8 bits of mantissa for each channel and one exponent for all three.

    Args:
        radiance: HxWx3 float32 linear radiance, RGB, finite, >= 0. Values above about 1e38 are
            clipped.
    """
    height, width = radiance.shape[:2]
    largest = np.minimum(radiance.max(axis=2), 1e38)
    _, exponent = np.frexp(largest)
    codes = np.zeros((height, width, 4), np.uint8)
    scaled = np.ldexp(np.minimum(radiance, 1e38), 8 - exponent[..., None])
    codes[..., :3] = np.minimum(scaled, 255)
    codes[..., 3] = np.clip(exponent + 128, 0, 255)
    codes[largest < 1e-38] = 0
    header = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode()
    if width not in _RUNS:
        return header + codes.tobytes()
    start = bytes((2, 2, width >> 8, width & 255))
    rows = (start + b"".join(map(_packed, row.T)) for row in codes)
    return header + b"".join(rows)


def _packed(channel: npt.NDArray[np.uint8]) -> bytes:
    """Encode one channel of a scan line as literal runs, which the format allows everywhere."""
    parts = (channel[i : i + 128].tobytes() for i in range(0, len(channel), 128))
    return b"".join(bytes((len(part),)) + part for part in parts)
