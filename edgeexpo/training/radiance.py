"""Radiance (.hdr) pictures: Greg Ward's RGBE format with run-length encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError


def read_hdr(path: Path) -> npt.NDArray[np.float32]:
    """Read a ``.hdr`` file in the usual orientation (``-Y height +X width``).

    Returns:
        HxWx3 float32, linear radiance, RGB.

    Raises:
        PictureError: Not a Radiance picture of that orientation, or it is truncated.
    """
    data = path.read_bytes()
    header, _, rest = data.partition(b"\n\n")
    size, _, body = rest.partition(b"\n")
    words = size.split()
    if not header.startswith(b"#?") or len(words) != 4 or words[0] != b"-Y" or words[2] != b"+X":
        raise PictureError(f"{path} is no Radiance .hdr picture; expected RGBE, -Y and +X")
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
