"""Reading and writing of Radiance (.hdr) pictures in Greg Ward's RGBE format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging.primaries import to_bt709

_RUNS = range(8, 32768)
"""Widths in pixels that the format run-length encodes."""

_LONGEST_RUN = 127
"""Number of equal values in the longest run, which takes two bytes."""

_RADIANCE_PRIMARIES = (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, 1 / 3, 1 / 3)
"""Chromaticities x and y of red, green, blue and white that Radiance assumes."""


def read_hdr(path: Path) -> npt.NDArray[np.float32]:
    """Read a ``.hdr`` file in the usual orientation (``-Y height +X width``).

    The header's exposures and colour corrections are undone, and primaries are converted.

    Returns:
        HxWx3 float32, linear radiance, RGB with BT.709 primaries.

    Raises:
        PictureError: The file is not a Radiance picture of that orientation, it is truncated, or
            its header states XYZ or impossible values.
    """
    data = path.read_bytes()
    header, _, rest = data.partition(b"\n\n")
    size, _, body = rest.partition(b"\n")
    words = size.split()
    usual = len(words) == 4 and words[0] == b"-Y" and words[2] == b"+X"
    if not header.startswith(b"#?") or not usual or not (words[1] + words[3]).isdigit():
        raise PictureError(f"{path} is not a Radiance .hdr picture; expected RGBE, -Y and +X")
    height, width = int(words[1]), int(words[3])
    try:
        rgbe = _scanlines(body, height, width)
    except (IndexError, ValueError) as error:
        raise PictureError(f"{path} is truncated or damaged; expected {width}x{height}") from error
    scale = np.ldexp(np.float32(1), rgbe[..., 3].astype(np.int32) - 136)
    scale[rgbe[..., 3] == 0] = 0
    stored = np.asarray((rgbe[..., :3] + np.float32(0.5)) * scale[..., None], np.float32)
    try:
        return _as_stated(stored, header)
    except ValueError as error:
        raise PictureError(f"{path} cannot be used: {error}") from error


def _as_stated(stored: npt.NDArray[np.float32], header: bytes) -> npt.NDArray[np.float32]:
    """Return radiance of BT.709 primaries: what is stored, as the header says that it is meant."""
    factor, matrix = np.ones(3), None
    for line in header.decode("latin-1").splitlines():
        name, _, value = line.partition("=")
        if name == "FORMAT" and value.strip() != "32-bit_rle_rgbe":
            raise ValueError(f"it states {line.strip()}; expected 32-bit_rle_rgbe: save it as RGB")
        if name in ("EXPOSURE", "COLORCORR"):
            # Programs multiply pixels by these factors and add a line each time.
            factor *= _numbers(line, value, 1 if name == "EXPOSURE" else 3)
            if not (np.isfinite(factor) & (factor > 0)).all():
                raise ValueError(f"it states {line.strip()}; expected numbers above 0")
        if name == "PRIMARIES":
            matrix = _matrix(_numbers(line, value, 8))
    radiance = np.asarray(stored / factor, np.float32)
    return radiance if matrix is None else np.asarray(radiance @ matrix.T, np.float32)


def _numbers(line: str, value: str, count: int) -> npt.NDArray[np.float64]:
    numbers = value.split()
    try:
        if len(numbers) == count:
            return np.array(numbers, np.float64)
    except ValueError:
        pass
    raise ValueError(f"it states {line.strip()}; expected {count} numbers")


def _matrix(stated: npt.NDArray[np.float64]) -> npt.NDArray[np.float32] | None:
    """Return the matrix to BT.709, or ``None`` where the header states no primaries of its own.

    Photoshop states zeros. Radiance's own primaries are stated by habit, and every other program
    takes such files as BT.709.
    """
    if not stated.any() or np.abs(stated - _RADIANCE_PRIMARIES).max() < 1e-3:
        return None
    return to_bt709((*stated[6:], *stated[:6]))


def _scanlines(body: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    if len(body) == height * width * 4:
        return np.frombuffer(body, np.uint8).reshape(height, width, 4)
    if len(body) < height * (4 + 8 * -(-width // _LONGEST_RUN)):
        raise ValueError("too few bytes for the size")
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
