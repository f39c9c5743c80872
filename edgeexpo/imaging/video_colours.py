"""Colours of video frames as FFmpeg states them: matrix, range, primaries and transfer.

Codes are those of ITU-T H.273, which FFmpeg uses as its own.
"""

from __future__ import annotations

from typing import Any

MATRIX_CODES = {"bt709": 1, "bt601": 6, "bt2020": 9}
"""Codes of matrices that are written, by the matrix's name."""

LIMITED, FULL = 1, 2
"""FFmpeg's codes of ranges: 16 to 235, and 0 to 255."""

UNSPECIFIED = 2
"""Code of a matrix, of primaries and of a transfer that the file does not state."""

_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_NOT_STATED = (0, UNSPECIFIED, 3)
"""Codes of RGB, of an unspecified matrix and of a reserved one."""

_NOT_FOR_DISPLAYS = {
    8: "linear light",
    9: "a logarithmic curve",
    10: "a logarithmic curve",
    16: "PQ, for HDR displays",
    17: "the curve of digital cinema",
    18: "HLG, for HDR displays",
}
"""Transfers of which networks know nothing, by code. All others are close to sRGB."""

_HD_ROWS = 720
"""Rows from which players take a video of unknown matrix as BT.709."""


def matrix_of(frame: Any) -> str:
    """Return the colour matrix of a frame.

    Where the frame names none, its height decides, as in players: BT.709 from 720 rows on, BT.601
    below.

    Args:
        frame: A decoded frame of PyAV.

    Raises:
        ValueError: The matrix is none that can be converted.
    """
    code = int(frame.colorspace)
    if code in _NOT_STATED:
        return "bt709" if frame.height >= _HD_ROWS else "bt601"
    if code not in _MATRICES:
        raise ValueError(
            f"it has the colour matrix {code} (ITU-T H.273); expected BT.601, BT.709 or BT.2020: "
            "convert it first, as FFmpeg's filter zscale does"
        )
    return _MATRICES[code]


def is_full_range(frame: Any) -> bool:
    """Return whether the codes of a YUV frame use the whole range."""
    return int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")


def check_transfer(frame: Any) -> None:
    """Refuse a frame that is not encoded for ordinary displays.

    Raises:
        ValueError: The frame is HDR, linear or logarithmic.
    """
    found = _NOT_FOR_DISPLAYS.get(int(frame.color_trc))
    if found is None and any("DOVI" in str(data.type) for data in frame.side_data):
        found = "Dolby Vision, for HDR displays"
    if found is not None:
        raise ValueError(
            f"it is encoded in {found}; expected video for ordinary displays: convert it first, as "
            "FFmpeg's filters zscale and tonemap do"
        )
