"""Reading and writing of picture files: HxWx3 RGB, sRGB or Display P3, 8 or 16 bits a channel."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeexpo.errors import PictureError
from edgeexpo.imaging import avif, heif, profiles, raw_files
from edgeexpo.imaging.exif_copy import copied
from edgeexpo.imaging.gain_map_files import FoundGainMap, find_gain_map
from edgeexpo.imaging.opening import check_kind, exif_of, opened, tags
from edgeexpo.imaging.other_channels import conversion
from edgeexpo.imaging.picture_decoding import decoded, is_deep
from edgeexpo.imaging.picture_encoding import encode_picture
from edgeexpo.imaging.shot_settings import Settings, settings_of, taken
from edgeexpo.imaging.stated_colours import colours_are_unknown, stated_profile
from edgeexpo.progress import note
from edgeexpo.writing import write_file

if TYPE_CHECKING:
    from PIL import Image

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"),
    *(".avif", ".heic", ".heif"),
)
"""Suffixes by which picture files are recognised in a folder.

RAW files are read by name only, since cameras write them beside a JPEG of the same shot."""

WRITTEN_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
}
"""Formats that :func:`write_picture` writes, by suffix."""

_ORIENTATION, _EXIF, _IPTC = 0x0112, 0x8769, 33723

_JPEG_SIDE = 65500
"""Largest height and width of a JPEG file that libjpeg writes."""


def is_picture(path: Path) -> bool:
    """Return True for a path with a picture suffix that is not hidden by a leading dot."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def read_picture(
    path: str | os.PathLike[str], *, keep_p3: bool = False, orientation: int | None = None
) -> np.ndarray:
    """Read a picture, upright by its EXIF orientation and converted to sRGB.

    The file states its colour space by an ICC profile, by EXIF data or by codes of its format.
    Greyscale, CMYK and transparent pictures are converted with a note on stderr.

    Args:
        path: A picture file in one of :data:`~edgeexpo.imaging.opening.FORMATS`, or a RAW file.
        keep_p3: Keep the codes of a picture in Display P3 (:func:`read_p3_profile`) unconverted.
        orientation: EXIF orientation, 1 to 8, to use in place of the file's own.

    Returns:
        HxWx3 RGB, sRGB-encoded. The type is uint16, 0 to 65535, for RAW files and for PNG and
        TIFF with 16 bits a channel, and uint8, 0 to 255, otherwise.

    Raises:
        PictureError: The file is missing, damaged, larger than Pillow's safety limit, or of
            a kind that cannot be converted to RGB.
            A picture with 16 bits a channel and a profile that needs conversion is also refused.
        MissingDependencyError: The package that reads the format is not installed.
    """
    path = Path(path)
    with opened(path) as (image, data):
        check_kind(path, image)
        orientation = _orientation(image, data) if orientation is None else orientation
        if words := conversion(image):
            _note_once(path.resolve(), f"edgeexpo: {path} is {words}")
        array = decoded(path, image, data, keep_p3)
    return upright(array, orientation)


def read_exposure(path: str | os.PathLike[str]) -> float | None:
    """Read the exposure of a picture in EV: ``log2(t * ISO / 100 / N^2)``, larger is brighter.

    Args:
        path: A picture whose EXIF data give the exposure time t in seconds, the f-number N and
            the ISO sensitivity, as numbers or as APEX values.

    Returns:
        The exposure, or ``None`` when one of the three numbers is missing or not positive.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    return read_settings(path).exposure


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Read the camera's settings from the EXIF data of a picture.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (image, data):
        return settings_of(exif_of(image, data).get_ifd(_EXIF))


def read_time(path: str | os.PathLike[str]) -> datetime.datetime | None:
    """Read when a picture was taken from its EXIF data. It is when the exposure began.

    Returns:
        Local time, with the fraction of a second when the EXIF data give one. ``None`` when they
        give no valid time.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (image, data):
        exif = exif_of(image, data)
        return taken(exif.get_ifd(_EXIF), exif)


def read_orientation(path: str | os.PathLike[str]) -> int:
    """Read the EXIF orientation of a picture, 1 to 8. A picture without a valid one has 1.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (image, data):
        return _orientation(image, data)


def read_exif(path: str | os.PathLike[str]) -> bytes | None:
    """Read the EXIF data of a picture, for :func:`write_picture`.

    The orientation is set to upright and Adobe RGB to sRGB, because :func:`read_picture` turns and
    converts pictures. Tags that describe the file's pixels or colours are left out.

    Returns:
        EXIF bytes, or ``None`` when the picture has no EXIF data.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    return read_exif_and_losses(path)[0]


def read_exif_and_losses(path: str | os.PathLike[str]) -> tuple[bytes | None, list[int]]:
    """Do as :func:`read_exif`, and return the tags whose values are invalid and left out as well.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (image, data):
        return copied(exif_of(image, data), image.format in ("TIFF", raw_files.RAW_FORMAT))


def read_extras(path: str | os.PathLike[str]) -> list[str]:
    """Return in words what a picture file holds besides a picture, its colours and EXIF data.

    A gain map is not named: see :func:`read_gain_map`.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (image, data):
        more = getattr(image, "n_frames", 1) - 1
        if image.format == "MPO" and find_gain_map(data):
            more -= 1
        found = {
            f"{more} more picture{'s' if more > 1 else ''} (a preview)": more,
            "XMP data": image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"),
            "IPTC data": image.info.get("photoshop") or tags(image).get(_IPTC),
        }
        return [name for name, held in found.items() if held]


def read_bits(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the bits a channel that a file states, and those of what :func:`read_picture` gives.

    Raises:
        PictureError: The file is missing, is not a picture or is of a kind that is not read.
    """
    path = Path(path)
    with opened(path) as (image, data):
        check_kind(path, image)
        if is_deep(image, data):
            return 16, 16
        if image.format == "TIFF":
            return max(tags(image).get(258, (8,))), 8
        return (heif.stated(data).bits if image.format in ("AVIF", "HEIF") else 8), 8


def read_gain_map(path: str | os.PathLike[str]) -> FoundGainMap | None:
    """Return what a picture file says of its gain map, which :func:`read_picture` leaves out.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (_, data):
        return find_gain_map(data)


def has_unknown_colours(path: str | os.PathLike[str]) -> bool:
    """Return whether a picture says by EXIF data that it is not sRGB, without saying what it is.

    :func:`read_picture` takes such a picture as sRGB.

    Raises:
        PictureError: The file is missing or is not a picture.
    """
    with opened(Path(path)) as (image, data):
        return colours_are_unknown(image, data)


def read_p3_profile(path: str | os.PathLike[str]) -> bytes | None:
    """Read the ICC profile of a picture in Display P3, for :func:`write_picture`.

    Returns:
        The profile's bytes, or ``None`` when the picture is not in Display P3.

    Raises:
        PictureError: The file is missing or is not a picture, or its profile cannot be read.
    """
    path = Path(path)
    with opened(path) as (image, data):
        profile = stated_profile(path, image, data)
        return profile if profile and profiles.is_display_p3(path, profile) else None


def check_output(
    path: str | os.PathLike[str], kind: np.dtype[Any] | None = None, size: Sequence[int] = (0, 0)
) -> None:
    """Raise when :func:`write_picture` would refuse a path for its suffix.

    Args:
        path: Path of the picture that is to be written.
        kind: uint8 or uint16, or ``None`` when the type is not known yet.
        size: Height and width, when they are known already.

    Raises:
        PictureError: The suffix is unknown, or cannot hold 16 bits a channel or that size.
        MissingDependencyError: The package that writes the format is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITTEN_FORMATS:
        raise PictureError(
            f"{path} has the suffix {suffix or 'of no format'!r}; "
            f"expected {', '.join(WRITTEN_FORMATS)}"
        )
    if WRITTEN_FORMATS[suffix] == "AVIF":
        if kind == np.uint16:
            avif.load_imagecodecs()
        else:
            heif.check_avif(Path(path))
    if WRITTEN_FORMATS[suffix] != "JPEG":
        return
    if kind == np.uint16:
        raise PictureError(f"{path}: JPEG holds 8 bits a channel, the picture has 16; use .png")
    if max(size) > _JPEG_SIDE:
        raise PictureError(
            f"{path}: JPEG holds {_JPEG_SIDE} pixels a side, the picture has {max(size)}; use .png"
        )


def write_picture(
    path: str | os.PathLike[str],
    picture: np.ndarray,
    exif: bytes | None = None,
    profile: bytes | None = None,
) -> None:
    """Write a picture atomically, in the format of its suffix.

    JPEG has quality 95, AVIF too. Of 16 bits a channel, AVIF keeps 10.

    Args:
        path: Path that ends in one of :data:`WRITTEN_FORMATS`.
        picture: HxWx3 uint8 or uint16 RGB, sRGB-encoded unless ``profile`` is given.
        exif: EXIF data (:func:`read_exif`). A TIFF or AVIF made of 16 bits a channel is written
            without it. A JPEG gets what fits into it, without the longest values.
        profile: ICC profile of the picture's codes (:func:`read_p3_profile`). By default the file
            declares sRGB.

    Raises:
        PictureError: The array has another shape or type, or the suffix does not fit it.
        OutputError: The file cannot be written. An existing file stays unchanged.
        MissingDependencyError: As :func:`check_output`.
    """
    path = Path(path)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype not in (np.uint8, np.uint16):
        shape = "x".join(map(str, picture.shape))
        raise PictureError(f"{path}: found {shape} {picture.dtype}; expected HxWx3 uint8 or uint16")
    check_output(path, picture.dtype, picture.shape[:2])
    data = encode_picture(picture, WRITTEN_FORMATS[path.suffix.lower()], exif, profile)
    write_file(path, data, make_folder=False)


@functools.cache
def _note_once(path: Path, text: str) -> None:
    """Print a note on a file once, since a training reads its pictures many times."""
    note(text)


def _orientation(image: Image.Image, data: bytes) -> int:
    found = exif_of(image, data).get(_ORIENTATION)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8 (EXIF 2.32, tag 274)."""
    turned = array.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else array
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)
