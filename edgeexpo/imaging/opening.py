"""Opening of picture files with Pillow: every failure and every unusable kind is one line."""

from __future__ import annotations

import contextlib
import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.errors import PictureError
from edgeexpo.imaging import heif, other_channels, raw_files
from edgeexpo.imaging.sixteen_bit import png_chunks

if TYPE_CHECKING:
    from PIL import Image

_PLAIN = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
FORMATS = (*_PLAIN, "AVIF", "HEIF")
"""Formats that are read, besides RAW. They are recognised by content, not by suffix."""

_PNG_TEXTS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
"""Chunks of a PNG in which Pillow finds EXIF data or an orientation."""

_DAMAGED = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError, struct.error, zlib.error),
)
"""Errors that Pillow's decoders raise for damaged files, depending on the format."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """Open the picture at ``path`` and yield it with the file's bytes.

    Of a RAW file, the picture is a placeholder with its EXIF data
    (:func:`~edgeexpo.imaging.raw_files.placeholder`).

    Raises:
        PictureError: The file cannot be read, or the decoder fails.
        MissingDependencyError: The package that reads the format is not installed.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _open(path, data) as image:
                yield image, data
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"{path} is larger than {Image.MAX_IMAGE_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is not a picture; expected {', '.join(FORMATS)}") from error
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PictureError(f"{path} is damaged or cannot be decoded: {reason}") from error


def _open(path: Path, data: bytes) -> Image.Image:
    from PIL import Image

    if path.suffix.lower() in raw_files.RAW_SUFFIXES or raw_files.is_dng(data):
        return raw_files.placeholder(path, data)
    if heif.is_heif(data):
        image = heif.open_heif(path, data)
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError
        return image
    if heif.is_avif(data):
        heif.check_avif(path)
        return Image.open(io.BytesIO(data), formats=["AVIF"])
    return Image.open(io.BytesIO(data), formats=_PLAIN)


def exif_of(image: Image.Image, data: bytes) -> Image.Exif:
    """Return the EXIF data of an opened picture.

    Pillow decodes a whole PNG to find EXIF data behind the pixels. That is only done where the file
    has a chunk that can hold some.
    """
    from PIL import Image

    if image.format == "PNG" and not any(png_chunks(data, kind) for kind in _PNG_TEXTS):
        return Image.Exif()
    return image.getexif()


def check_kind(path: Path, image: Image.Image) -> None:
    """Refuse a picture that is animated, or that cannot be converted to RGB.

    Raises:
        PictureError: The picture is of such a kind.
    """
    # A phone's MPO file is a JPEG followed by previews, and HEIF marks one picture as primary.
    if image.format not in ("MPO", "HEIF") and getattr(image, "n_frames", 1) > 1:
        raise PictureError(f"{path} holds several pictures; expected a single picture")
    if image.mode not in ("RGB", "P", *other_channels.CONVERTED):
        size = f"{image.height}x{image.width}"
        raise PictureError(
            f"{path} is {size} and {image.mode}; expected 8 or 16 bits a channel of RGB, grey or "
            "CMYK: convert it to RGB"
        )


def tags(image: Image.Image) -> dict[int, Any]:
    """Return the main directory of a TIFF file by tag number. Other files have an empty one."""
    return dict(getattr(image, "tag_v2", {}))
