"""The bundle of :mod:`tiny_bundle` with a recorded reference, so that parity needs no program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_bundle import write_bundle

from edgeexpo.artifact import Bundle
from edgeexpo.parity.golden import Device, Golden, replace_golden


def write_golden_bundle(folder: Path, offset: float = 0.0) -> Path:
    """A bundle whose network gives the 3x3 mean; its recorded outputs are off by ``offset``."""
    bundle = Bundle.open(write_bundle(folder, front=None, back=None, frames=("photo",)))
    random = np.random.default_rng(0)
    inputs = {name: random.random((48, 40, 3), dtype=np.float32) for name in ("sea", "house")}
    outputs = {name: mean(picture) + np.float32(offset) for name, picture in inputs.items()}
    device = Device("cuda", "NVIDIA GPU", details={"driver": "570.1"})
    replace_golden(bundle, Golden({n: {"y0": p} for n, p in inputs.items()}, outputs, device))
    return folder


def mean(picture: np.ndarray) -> np.ndarray:
    """3x3 mean of every channel of HxWxC, zero-padded, float32."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)))
    height, width = picture.shape[:2]
    parts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    result: np.ndarray = (sum(parts) / 9).astype(np.float32)
    return result
