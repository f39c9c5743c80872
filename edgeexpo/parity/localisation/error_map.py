"""A picture of where a layer is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.parity.localisation.localisation import Localisation
from edgeexpo.writing import write_file, writing

SCALE_TO = 512
"""Small maps are magnified, pixel by pixel, to about this side."""

BAR = 12


def write_error_map(found: Localisation, folder: Path) -> Path:
    """Write ``ERROR.NODE.png``: the first faulty layer's absolute error, averaged over channels.

    Black is none, white the largest; the bar on the right shows the scale from 0 at the bottom.

    Returns:
        The file.

    Raises:
        UsageError: There is no fault, or it has no map (not NCHW).
        OutputError: The file cannot be written.
    """
    import io

    from PIL import Image

    first = found.first
    if first is None or first.error_map is None:
        raise UsageError(f"{found.file} has no error map: no faulty layer with rows and columns")
    top = float(first.error_map.max()) or 1.0
    plane: np.ndarray = first.error_map / top
    times = max(1, SCALE_TO // max(plane.shape))
    plane = np.kron(plane, np.ones((times, times), np.float32))
    bar = np.repeat(np.linspace(1, 0, plane.shape[0])[:, None], BAR, axis=1)
    gap = np.zeros((plane.shape[0], BAR // 3))
    colours = _heat(np.concatenate([plane, gap, bar], axis=1))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, format="PNG")
    path = folder / f"{found.file}.{first.node}.png"
    write_file(path, buffer.getvalue())
    return path


def _heat(plane: np.ndarray) -> np.ndarray:
    """Black, red, yellow, white: HxW in [0,1] to HxWx3 uint8."""
    ramps = [np.clip(3 * plane - offset, 0, 1) for offset in (0, 1, 2)]
    colours: np.ndarray = np.rint(np.stack(ramps, axis=-1) * 255).astype(np.uint8)
    return colours
