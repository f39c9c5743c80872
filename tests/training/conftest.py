"""A small folder to train on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three radiance maps in ``hdri`` and six photographs in ``photos``."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "hdri").mkdir()
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("first", "second", "lab"):
        texture = cv2.GaussianBlur(rng.random((64, 128, 3), dtype=np.float32), (0, 0), 3)
        assert cv2.imwrite(str(folder / "hdri" / f"{name}.hdr"), np.exp(20 * (texture - 0.5)))
    for index in range(6):
        noise = rng.random((96, 128, 3), dtype=np.float32)
        texture = cv2.GaussianBlur(noise, (0, 0), 3)
        codes = np.clip((texture - 0.5) * 4 + 0.5, 0, 1) * 255
        assert cv2.imwrite(str(folder / "photos" / f"picture{index}.png"), codes.astype(np.uint8))
    return folder
