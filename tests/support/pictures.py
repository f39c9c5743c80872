"""Pictures that many tests share."""

from __future__ import annotations

import numpy as np
import torch


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a smooth random picture: HxWx3 float32 in [0,1]."""
    random = np.random.default_rng(seed)
    low = torch.from_numpy(random.random((1, 3, 5, 5), dtype=np.float32))
    full = torch.nn.functional.interpolate(low, (height, width), mode="bicubic")
    return full[0].permute(1, 2, 0).clamp(0, 1).numpy()
