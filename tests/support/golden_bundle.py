"""The tiny bundle with a recorded reference, so that parity needs no program."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.parity.golden import Device, Golden, replace_golden
from edgeexpo.spec import TensorSpec
from tests.support.tiny_bundle import write_bundle


def write_golden_bundle(folder: Path, offset: float = 0.0, name: str = "y0") -> Path:
    """Write a bundle whose network gives the 3x3 mean; recorded outputs are off by ``offset``.

    ``name`` is the input's name in the manifest; in the network it is always ``y0``.
    """
    facts = {"front": None, "back": None, "frames": ("photo",), "inputs": (TensorSpec(name),)}
    bundle = Bundle.open(write_bundle(folder, **facts))
    random = np.random.default_rng(0)
    pictures = {n: random.random((48, 40, 3), dtype=np.float32) for n in ("sea", "house")}
    inputs = {n: {name: picture} for n, picture in pictures.items()}
    outputs = {n: mean(picture) + np.float32(offset) for n, picture in pictures.items()}
    device = Device("cuda", "NVIDIA GPU", details={"driver": "570.1"})
    replace_golden(bundle, Golden(inputs, outputs, device))
    return folder


def mean(picture: np.ndarray) -> np.ndarray:
    """Return the 3x3 mean of every channel of HxWxC, zero-padded, float32."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)))
    height, width = picture.shape[:2]
    parts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    result: np.ndarray = (sum(parts) / 9).astype(np.float32)
    return result
