"""Draw a picture of the error of a layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.parity.localisation.localisation import Localisation
from edgeexpo.writing import write_file, writing

SCALE_TO = 512
"""Approximate side in pixels to which small maps are magnified, pixel by pixel."""

BAR = 12
"""Width of the scale's bar, in pixels."""


def write_error_map(found: Localisation, folder: Path) -> Path:
    """Write ``FILE.NODE.png``: the first faulty layer's absolute error, averaged over channels.

    Black is no error, white is the largest error. The bar on the right shows the scale, from 0 at
    the bottom.

    Returns:
        The path of the file.

    Raises:
        UsageError: No layer is faulty, or the faulty layer's value is not NCHW and has no map.
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
    """Colour a plane from black over red and yellow to white: HxW in [0,1] to HxWx3 uint8."""
    ramps = [np.clip(3 * plane - offset, 0, 1) for offset in (0, 1, 2)]
    colours: np.ndarray = np.rint(np.stack(ramps, axis=-1) * 255).astype(np.uint8)
    return colours
