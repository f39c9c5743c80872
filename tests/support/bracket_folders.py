"""Folders of small brackets for the tests of evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

TIME, F_NUMBER, ISO, EXIF = 33434, 33437, 34855, 0x8769


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return smooth linear radiance over three decades, HxWx3."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 17.0
    phases = rng.uniform(0, 6, (3, 2))
    waves = [np.sin(rows + a) * np.cos(columns * 0.7 + b) for a, b in phases]
    return np.asarray(0.18 * 2.0 ** (3 * np.stack(waves, axis=2)), np.float32)


def shot(radiance: np.ndarray, ev: float) -> np.ndarray:
    """Return the 8-bit codes of an exposure with gamma 2.2."""
    return np.rint(np.clip(radiance * 2.0**ev, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def write_bracket(
    folder: Path,
    evs: list[float],
    *,
    size: tuple[int, int] = (48, 64),
    names: list[str] | None = None,
    reference: bool = False,
    exif: bool = False,
    seed: int = 0,
) -> Path:
    """Write PNG frames ``0.png``... at ``evs``, or JPEG files with EXIF times under ``exif``."""
    folder.mkdir(parents=True)
    radiance = scene(*size, seed)
    suffix = ".jpg" if exif else ".png"
    for index, ev in enumerate(evs):
        image = Image.fromarray(shot(radiance, ev))
        path = folder / (names[index] if names else f"{index}{suffix}")
        if exif:
            data = Image.Exif()
            data.get_ifd(EXIF).update({TIME: 2.0**ev / 64, F_NUMBER: 4.0, ISO: 100})
            image.save(path, exif=data, quality=95)
        else:
            image.save(path)
    if reference:
        Image.fromarray(shot(radiance, 0.0)).save(folder / "reference.png")
    return folder


def write_exposures(source: Path, listed: dict[str, object]) -> None:
    """Write ``exposures.json`` into the folder of the brackets."""
    (source / "exposures.json").write_text(json.dumps(listed))


def write_hdr(path: Path, radiance: np.ndarray) -> None:
    """Write a flat (not run-length encoded) Radiance picture."""
    largest = radiance.max(axis=2)
    exponent = np.where(largest > 0, np.floor(np.log2(np.maximum(largest, 1e-30))) + 1, 0)
    codes = np.clip(radiance / 2.0 ** exponent[..., None] * 256, 0, 255)
    rgbe = np.concatenate([codes, exponent[..., None] + 128], axis=2).astype(np.uint8)
    height, width = radiance.shape[:2]
    header = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    path.write_bytes(header.encode() + rgbe.tobytes())
