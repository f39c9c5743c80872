"""Reading and writing of OpenEXR pictures through the OpenEXR package.

All compressions are read, DWA among them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.imaging.primaries import to_bt709


def read_exr(path: Path) -> npt.NDArray[np.float32]:
    """Read the R, G and B channels of the first part of an ``.exr`` file.

    A picture with a single ``Y`` channel is returned as grey. Values are linear, and can be
    slightly negative after lossy compression or in a wide gamut. Chromaticities that the file
    states are converted to BT.709.

    Returns:
        HxWx3 float32, linear radiance of any scale, RGB with BT.709 primaries.

    Raises:
        PictureError: The file is missing or damaged, lacks those channels at full resolution, or
            has NaN or infinite values.
        MissingDependencyError: The OpenEXR package is not installed.
    """
    OpenEXR = _package(str(path))
    if not path.is_file():
        raise PictureError(f"{path} does not exist; expected an OpenEXR picture")
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
            stated = file.header().get("chromaticities")
    except (RuntimeError, ValueError, TypeError) as error:
        raise PictureError(
            f"{path} is not a readable OpenEXR picture; expected a whole, scan-line or tiled file"
        ) from error
    picture = _rgb(channels, path)
    try:
        matrix = None if stated is None else to_bt709((*stated[6:], *stated[:6]))
    except ValueError as error:
        raise PictureError(f"{path} states chromaticities that cannot be used: {error}") from error
    return picture if matrix is None else np.asarray(picture @ matrix.T, np.float32)


def encode_exr(radiance: npt.NDArray[np.float32]) -> bytes:
    """Encode radiance as the bytes of an ``.exr`` file: 32-bit R, G and B, ZIP compression.

    Args:
        radiance: HxWx3 float32 linear radiance, RGB, any scale.

    Raises:
        MissingDependencyError: The OpenEXR package is not installed.
    """
    OpenEXR = _package("the output")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.exr"
        OpenEXR.File(header, {"RGB": np.ascontiguousarray(radiance)}).write(str(path))
        return path.read_bytes()


def _package(what: str) -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} is OpenEXR and the OpenEXR package is not installed; "
            "expected it for .exr: pip install 'edgeexpo[camera]'"
        ) from error
    return OpenEXR


def _rgb(channels: dict[str, Any], path: Path) -> npt.NDArray[np.float32]:
    names = ("R", "G", "B") if "R" in channels else ("Y", "Y", "Y")
    if not all(name in channels for name in names):
        found = ", ".join(sorted(channels)) or "none"
        raise PictureError(f"{path} has channels {found}; expected R, G and B, or Y alone")
    planes = [np.asarray(channels[name], np.float32) for name in names]
    if len({plane.shape for plane in planes}) != 1 or planes[0].ndim != 2 or planes[0].size == 0:
        raise PictureError(f"{path} has channels of different sizes; expected full resolution")
    picture = np.stack(planes, axis=2)
    if not np.all(np.isfinite(picture)):
        raise PictureError(f"{path} has NaN or infinite values; expected finite radiance")
    return picture
