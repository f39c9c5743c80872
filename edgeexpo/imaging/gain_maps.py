"""JPEG files with a gain map: a picture for every display, and radiance for HDR displays.

Such a file is a JPEG that programs without HDR show as any other. A second JPEG behind it holds
gains in stops. The metadata are written twice: as ISO 21496-1, and as XMP data (Ultra HDR 1.0).
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.files import check_output
from edgeexpo.imaging.gain_map_metadata import GainMapMetadata, directory_xmp, iso_versions
from edgeexpo.imaging.jpeg_segments import APP1, APP2, ISO_GAIN_MAP, XMP, joined, with_segments
from edgeexpo.imaging.picture_encoding import encode_picture
from edgeexpo.writing import write_file

WHITE_NITS = 203.0
"""Luminance of the white of ordinary displays in cd/m^2, as ITU-R BT.2408 places it in HDR."""

BRIGHTEST = 10_000 / WHITE_NITS
"""Brightest radiance that is kept: 10000 cd/m^2, the end of PQ. White is 1."""

OFFSET = 2.0**-12
"""Offset of base and radiance.

Ultra HDR 1.0 advises 1/64. Dark channels of coloured light then come back 0.2 stops off."""

GAIN_MAP_SUFFIXES = (".jpg", ".jpeg")
"""Suffixes of files that hold a gain map."""

_LEAST_HEADROOM = 1 / 16
"""Least headroom in stops. A display without headroom would divide by zero."""

_QUALITY = {"quality": 98, "subsampling": 0}
_EXPOSED = (0.05, 0.95)
"""Codes between which a pixel of the picture tells how bright it is."""


def anchored(radiance: Picture, picture: np.ndarray) -> Picture:
    """Scale radiance so that it is as bright as a picture, where 1 is the picture's white.

    The factor is the median ratio of luminances over pixels that are neither dark nor clipped in
    the picture. Without such pixels, all that are not black count.

    Args:
        radiance: HxWx3 linear RGB of any scale, >= 0.
        picture: HxWx3 uint8 or uint16, of the same scene and size, encoded as sRGB.

    Returns:
        HxWx3 float32 linear RGB. Radiance stays unchanged where one of the two is black.
    """
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
    codes = picture / np.float32(np.iinfo(picture.dtype).max)
    shown, light = np.asarray(srgb_to_linear(codes)) @ weights, radiance @ weights
    seen = (shown > 0) & (light > 0)
    middle = seen & (codes > _EXPOSED[0]).all(axis=2) & (codes < _EXPOSED[1]).all(axis=2)
    chosen = middle if middle.any() else seen
    if not chosen.any():
        return np.asarray(radiance, np.float32)
    factor = np.median(shown[chosen] / light[chosen])
    return np.asarray(radiance * np.float32(factor), np.float32)


def encode_gain_map(
    base: np.ndarray, radiance: Picture, exif: bytes | None = None, profile: bytes | None = None
) -> bytes:
    """Encode a base picture and radiance as one JPEG file with a gain map of the same size.

    Gains are computed from the base as its JPEG gives it back. Radiance therefore does not suffer
    from that compression. Base and radiance have the same primaries.

    Args:
        base: HxWx3 uint8, encoded by sRGB's curve, which ordinary displays show.
        radiance: HxWx3 linear RGB, finite, >= 0. The white of ordinary displays is 1. Values above
            :data:`BRIGHTEST` are clipped.
        exif: EXIF data of the base (:func:`~edgeexpo.imaging.files.read_exif`).
        profile: ICC profile of the base, with sRGB's curve (Display P3). By default it is sRGB.

    Raises:
        PictureError: The arrays differ in shape, have another type or invalid values.
    """
    _check(base, radiance)
    from PIL import Image

    primary = encode_picture(base, "JPEG", exif, profile)
    with Image.open(io.BytesIO(primary)) as image:
        shown = np.asarray(srgb_to_linear(np.arange(256) / 255), np.float32)[np.asarray(image)]
    light = np.minimum(np.asarray(radiance, np.float32), np.float32(BRIGHTEST))
    gain = np.log2((light + np.float32(OFFSET)) / (shown + np.float32(OFFSET)))
    metadata = GainMapMetadata(
        low=tuple(gain.min(axis=(0, 1)).tolist()),
        high=tuple(gain.max(axis=(0, 1)).tolist()),
        offset=OFFSET,
        headroom=max(float(np.log2(max(float(light.max()), 1.0))), _LEAST_HEADROOM),
    )
    stream = io.BytesIO()
    Image.fromarray(_codes(gain, metadata)).save(stream, "JPEG", **_QUALITY)
    second = with_segments(
        stream.getvalue(),
        [(APP1, XMP + metadata.xmp()), (APP2, ISO_GAIN_MAP + metadata.iso())],
    )
    added = [(APP1, XMP + directory_xmp(len(second))), (APP2, ISO_GAIN_MAP + iso_versions())]
    return joined(primary, added, second)


def write_gain_map(
    path: str | os.PathLike[str],
    base: np.ndarray,
    radiance: Picture,
    exif: bytes | None = None,
    profile: bytes | None = None,
) -> None:
    """Write :func:`encode_gain_map` atomically.

    Raises:
        PictureError: As :func:`encode_gain_map`, or the suffix is not that of a JPEG file.
        OutputError: The file cannot be written. An existing file stays unchanged.
    """
    path = Path(path)
    check_suffix(path)
    check_output(path, base.dtype, base.shape[:2])
    write_file(path, encode_gain_map(base, radiance, exif, profile), make_folder=False)


def check_suffix(path: Path) -> None:
    """Raise when a path cannot hold a gain map for its suffix.

    Raises:
        PictureError: The suffix is not that of a JPEG file.
    """
    if path.suffix.lower() not in GAIN_MAP_SUFFIXES:
        raise PictureError(
            f"{path} cannot hold a gain map here; expected {' or '.join(GAIN_MAP_SUFFIXES)}"
        )


def _codes(gain: Picture, metadata: GainMapMetadata) -> npt.NDArray[np.uint8]:
    low, high = (np.array(ends, np.float32) for ends in (metadata.low, metadata.high))
    span = np.where(high > low, high - low, 1)
    codes = np.clip((gain - low) / span, 0, 1) * 255
    return np.asarray(np.rint(codes), np.uint8)


def _check(base: np.ndarray, radiance: np.ndarray) -> None:
    if base.ndim != 3 or base.shape[2] != 3 or base.size == 0 or base.dtype != np.uint8:
        shape = "x".join(map(str, base.shape))
        raise PictureError(f"the base is {shape} {base.dtype}; expected HxWx3 uint8")
    if radiance.shape != base.shape:
        found, expected = ("x".join(map(str, array.shape)) for array in (radiance, base))
        raise PictureError(f"radiance is {found}; expected {expected} as the base picture")
    if not np.isfinite(radiance).all() or radiance.min() < 0:
        raise PictureError("radiance has NaN, infinite or negative values; expected radiance")
