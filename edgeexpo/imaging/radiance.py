"""Reading and writing of radiance files: linear RGB of any range, ``.hdr`` or ``.exr``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError
from edgeexpo.failures import reading
from edgeexpo.imaging.exr import encode_exr, read_exr
from edgeexpo.imaging.hdr import encode_hdr, read_hdr
from edgeexpo.writing import write_file

RADIANCE_SUFFIXES = (".hdr", ".exr")
"""Suffixes of radiance files."""


def read_radiance(path: Path) -> npt.NDArray[np.float32]:
    """Read a ``.hdr`` or ``.exr`` file.

    Negative values become 0. Lossy EXR compression leaves small negative values in dark areas.

    Returns:
        HxWx3 float32, linear radiance, RGB, >= 0.

    Raises:
        PictureError: The file cannot be read.
        MissingDependencyError: The file is ``.exr`` and the OpenEXR package is not installed.
    """
    whole = f"expected a whole picture, {' or '.join(RADIANCE_SUFFIXES)}"
    with reading(path, PictureError, "is not readable radiance", whole):
        radiance = read_exr(path) if path.suffix.lower() == ".exr" else read_hdr(path)
    if radiance.size == 0:
        raise PictureError(f"{path} has no pixel; {whole}")
    return np.maximum(radiance, np.float32(0))


def write_radiance(path: str | os.PathLike[str], radiance: npt.NDArray[np.floating]) -> None:
    """Write radiance atomically, in the format of its suffix.

    Args:
        path: Path that ends in one of :data:`RADIANCE_SUFFIXES`.
        radiance: HxWx3 linear radiance, RGB, finite, >= 0.

    Raises:
        PictureError: The array has another shape or invalid values, or the suffix is unknown.
        OutputError: The file cannot be written. An existing file stays unchanged.
        MissingDependencyError: The file is ``.exr`` and the OpenEXR package is not installed.
    """
    path = Path(path)
    picture = np.asarray(radiance, np.float32)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        shape = "x".join(map(str, picture.shape))
        raise PictureError(f"{path}: found {shape}; expected HxWx3 linear radiance")
    if not np.isfinite(picture).all() or picture.min() < 0:
        raise PictureError(f"{path}: found NaN, infinite or negative values; expected radiance")
    encoders = {".hdr": encode_hdr, ".exr": encode_exr}
    encode = encoders.get(path.suffix.lower())
    if encode is None:
        raise PictureError(
            f"{path} has the suffix {path.suffix or 'of no format'!r}; "
            f"expected {' or '.join(RADIANCE_SUFFIXES)} for radiance"
        )
    write_file(path, encode(picture), make_folder=False)
