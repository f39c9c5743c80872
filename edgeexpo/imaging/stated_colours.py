"""Colour spaces that a file states without an ICC profile: by EXIF, or by codes of its format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging import heif, profiles, sixteen_bit
from edgeexpo.imaging.opening import exif_of
from edgeexpo.imaging.primaries import BT709, D50_XYZ, D65, Chromaticities, to_xyz

if TYPE_CHECKING:
    from PIL import Image

_PRIMARIES: dict[int, Chromaticities] = {
    1: BT709,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""Chromaticities by the code of ITU-T H.273, table 2."""

_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: dict[int, tuple[float, ...]] = {
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    8: (1.0,),
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}
"""Parameters of the ICC curve by the code of a transfer function of ITU-T H.273, table 3."""

_UNSPECIFIED = 2
_HDR = {16: "PQ", 18: "HLG"}
_SRGB_GAMMA = 0.45455
_COLOUR_SPACE, _INTEROPERABILITY, _INDEX = 0xA001, 0xA005, 1
_EXIF = 0x8769
_EXIF_SRGB, _EXIF_ADOBE = 1, 2
"""Values of the EXIF colour space. The standard knows the first, cameras write both."""

_ADOBE: Chromaticities = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def stated_profile(path: Path, image: Image.Image, data: bytes) -> bytes | None:
    """Return a profile of the colour space that a file states, in whatever way it does.

    A PNG's ``cICP`` comes first, then the ICC profile, then the codes of HEIF and AVIF (``nclx``).
    A PNG's ``sRGB``, ``gAMA`` and ``cHRM`` follow (PNG specification, third edition, section 4.3),
    and the EXIF colour space is last.

    Args:
        path: The file, for messages.
        image: The opened picture.
        data: Bytes of the file.

    Returns:
        The profile's bytes, or ``None`` for sRGB and for a file that states nothing.

    Raises:
        PictureError: The profile cannot be read, or the colour space is none that can be
            converted to sRGB.
    """
    if image.format == "PNG" and (chunks := sixteen_bit.png_chunks(data, b"cICP")):
        return _unless_srgb(path, _by_code(path, chunks[0]))
    coded = heif.stated(data).colours if image.format in ("AVIF", "HEIF") else None
    if coded is not None:
        _check_transfer(path, coded[1])
    if image.info.get("icc_profile"):
        return profiles.embedded_profile(path, image)
    if coded is not None and _UNSPECIFIED not in coded:
        return _unless_srgb(path, _of_codes(path, *coded, "nclx"))
    if "srgb" in image.info:
        return None
    return _unless_srgb(path, _by_gamma(image) or _by_exif(image, data))


def colours_are_unknown(image: Image.Image, data: bytes) -> bool:
    """Return whether EXIF data say that the colours are not sRGB, and nothing says which they are.

    Args:
        image: The opened picture.
        data: Bytes of the file.
    """
    png = image.format == "PNG"
    if (
        image.info.get("icc_profile")
        or heif.stated(data).colours
        or (png and sixteen_bit.png_chunks(data, b"cICP"))
    ):
        return False
    if png and any(name in image.info for name in ("srgb", "gamma", "chromaticity")):
        return False
    space = exif_of(image, data).get_ifd(_EXIF).get(_COLOUR_SPACE)
    return space not in (None, _EXIF_SRGB) and _by_exif(image, data) is None


def _unless_srgb(path: Path, profile: bytes | None) -> bytes | None:
    return None if profile is None or profiles.is_srgb(path, profile) else profile


def _by_code(path: Path, chunk: bytes) -> bytes:
    primaries, transfer, matrix, full = chunk.ljust(4, b"\0")[:4]
    _check_transfer(path, transfer)
    if matrix or full != 1:
        raise PictureError(
            f"{path} has the colour code {primaries}/{transfer}/{matrix}/{full} (cICP), which is "
            "unknown here; convert it to sRGB"
        )
    return _of_codes(path, primaries, transfer, "cICP")


def _check_transfer(path: Path, transfer: int) -> None:
    if transfer in _HDR:
        raise PictureError(
            f"{path} is encoded for HDR displays ({_HDR[transfer]}); expected sRGB: convert it "
            "to sRGB"
        )


def _of_codes(path: Path, primaries: int, transfer: int, name: str) -> bytes:
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        raise PictureError(
            f"{path} has the colour code {primaries}/{transfer} ({name}), which is unknown here; "
            "convert it to sRGB"
        )
    return matrix_profile(
        _PRIMARIES[primaries], _CURVES[transfer], f"{name} {primaries}/{transfer}"
    )


def _by_gamma(image: Image.Image) -> bytes | None:
    gamma, primaries = image.info.get("gamma"), image.info.get("chromaticity")
    if image.format != "PNG" or not (gamma or primaries):
        return None
    # The specification gives sRGB this gamma for readers that know no curve.
    curve = _SRGB_CURVE if not gamma or abs(gamma - _SRGB_GAMMA) < 0.01 else (1 / gamma,)
    return matrix_profile(tuple(primaries) if primaries else BT709, curve, "gAMA and cHRM")


def _by_exif(image: Image.Image, data: bytes) -> bytes | None:
    """Return Adobe RGB for the EXIF data of cameras that record it (DCF 2.0, index R03)."""
    exif = exif_of(image, data)
    directory = exif.get_ifd(_EXIF)
    index = directory.get(_INTEROPERABILITY)
    index = index if isinstance(index, dict) else exif.get_ifd(_INTEROPERABILITY)
    name = index.get(_INDEX, "")
    text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
    space = directory.get(_COLOUR_SPACE)
    if space == _EXIF_ADOBE or (space != _EXIF_SRGB and text.strip("\0 ") == "R03"):
        return matrix_profile(_ADOBE, (563 / 256,), "Adobe RGB (EXIF)")
    return None


def matrix_profile(primaries: Chromaticities, curve: tuple[float, ...], name: str) -> bytes:
    """Return an ICC profile (version 4) of three primaries, a white and one curve.

    Args:
        primaries: Chromaticities of white, red, green and blue.
        curve: A gamma, or the five parameters of ICC's parametric curve of type 3.
        name: Name that the profile gives itself.

    Raises:
        ValueError: The primaries or the curve are none that a display can have.
    """
    try:
        return _encoded(to_xyz(primaries), curve, name)
    except (ArithmeticError, ValueError, struct.error) as error:
        raise ValueError("it states primaries or a gamma that no display has") from error


def _encoded(colorants: npt.NDArray[np.float64], curve: tuple[float, ...], name: str) -> bytes:
    kind = 0 if len(curve) == 1 else 3
    parametric = b"para" + struct.pack(">4xH2x", kind) + _fixed(curve)
    tags = {b"desc": _text(name), b"cprt": _text("none"), b"wtpt": _xyz(D50_XYZ)}
    for channel, colorant in zip((b"r", b"g", b"b"), colorants.T, strict=True):
        tags[channel + b"XYZ"], tags[channel + b"TRC"] = _xyz(colorant), parametric
    at, table, body = 132 + 12 * len(tags), b"", b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    rest = struct.pack(">I", len(tags)) + table + body
    header = struct.pack(">I4xI", 128 + len(rest), 4 << 24) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp"
    header = header.ljust(68, b"\0") + _xyz(D50_XYZ)[8:]
    return header.ljust(128, b"\0") + rest


def _fixed(values: npt.ArrayLike) -> bytes:
    numbers = np.ravel(values)
    return struct.pack(f">{len(numbers)}i", *(round(float(v) * 65536) for v in numbers))


def _xyz(values: npt.ArrayLike) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
