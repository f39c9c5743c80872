"""RAW files of cameras, DNG among them: developed by LibRaw through the package rawpy."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeexpo.errors import MissingDependencyError, PictureError

if TYPE_CHECKING:
    from PIL import Image

RAW_SUFFIXES = frozenset(
    {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".pef", ".srw"}
)
"""Suffixes of RAW files. DNG files are also recognised by content."""

RAW_FORMAT = "RAW"
"""Format of :func:`placeholder`."""

_TIFF = (b"II*\0", b"MM\0*")
_DNG_VERSION = 50706
_SRGB_CURVE = (2.4, 12.92)
_EXIF, _ORIENTATION = 0x8769, 0x0112
_SECONDS, _F_NUMBER, _ISO = 33434, 33437, 34855


def developed(path: Path, data: bytes) -> np.ndarray:
    """Develop a RAW file to a picture that is upright.

    White balance is the camera's. The exposure is not adapted to the scene, so that shots of a
    bracket keep their differences. Highlights that the sensor clipped stay clipped.

    Args:
        path: The file, for messages.
        data: Bytes of the file.

    Returns:
        HxWx3 uint16 RGB, 0 to 65535, sRGB-encoded.

    Raises:
        PictureError: LibRaw does not know the file or cannot decode it.
        MissingDependencyError: The package rawpy is not installed.
    """
    rawpy = _package(path)
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            picture = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                adjust_maximum_thr=0,  # LibRaw would take the picture's own maximum as white.
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=_SRGB_CURVE,
            )
    except rawpy.LibRawError as error:
        raise _refused(path, rawpy, error) from error
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def is_dng(data: bytes) -> bool:
    """Return whether a file is a DNG by its content: a TIFF file that states a version of DNG."""
    from PIL import Image

    if data[:4] not in _TIFF:
        return False
    exif = Image.Exif()
    try:
        exif.load(data)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return False
    return _DNG_VERSION in exif


def placeholder(path: Path, data: bytes) -> Image.Image:
    """Return a picture of one pixel that has the EXIF data of a RAW file, without orientation.

    Where Pillow cannot read the EXIF data of the format, they hold the exposure that LibRaw finds.

    Raises:
        PictureError: As :func:`developed`.
        MissingDependencyError: The package rawpy is not installed.
    """
    from PIL import Image

    rawpy = _package(path)
    exif = Image.Exif()
    if data[:4] in _TIFF:
        exif.load(data)
    else:
        exif.get_ifd(_EXIF).update(_exposure(path, data, rawpy))
    exif.pop(_ORIENTATION, None)  # LibRaw turns the picture.
    image = Image.new("RGB", (1, 1))
    image.format = RAW_FORMAT
    image.getexif = lambda: exif  # type: ignore[method-assign]
    return image


def _exposure(path: Path, data: bytes, rawpy: Any) -> dict[int, float]:
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            found = raw.other
            return {
                _SECONDS: float(found.shutter_speed),
                _F_NUMBER: float(found.aperture),
                _ISO: round(found.iso_speed),
            }
    except rawpy.LibRawError as error:
        raise _refused(path, rawpy, error) from error


def _refused(path: Path, rawpy: Any, error: Exception) -> PictureError:
    reason = error.args[0] if error.args else type(error).__name__
    reason = reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)
    version = ".".join(map(str, rawpy.libraw_version))
    return PictureError(
        f"{path} cannot be developed: {reason}; expected a RAW file that LibRaw {version} knows: "
        "develop it to 16-bit TIFF or PNG in sRGB first"
    )


def _package(path: Path) -> Any:
    try:
        import rawpy
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is a RAW file and rawpy is not installed; expected it for such files: "
            "pip install 'edgeexpo[raw]', or develop it to 16-bit TIFF or PNG in sRGB first"
        ) from error
    return rawpy
