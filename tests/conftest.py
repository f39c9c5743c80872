"""Small networks that many tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeexpo.spec import TensorSpec


class Residual(torch.nn.Module):
    """Three convolutions on a residual path: ``clip(y0 + f(y0))``."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, width, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, width, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, 3, 3, padding=1),
        )

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return torch.clamp(y0 + 0.5 * self.body(y0), 0, 1)


@pytest.fixture(scope="session")
def residual() -> Residual:
    """The residual network with fixed weights."""
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture(scope="session")
def tensors() -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Its input and output specs."""
    return (TensorSpec("y0"),), (TensorSpec("y_hat"),)


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture: HxWx3 float32 in [0,1]."""
    random = np.random.default_rng(seed)
    low = torch.from_numpy(random.random((1, 3, 5, 5), dtype=np.float32))
    full = torch.nn.functional.interpolate(low, (height, width), mode="bicubic")
    return full[0].permute(1, 2, 0).clamp(0, 1).numpy()


@pytest.fixture(scope="session")
def pictures() -> list[dict[str, np.ndarray]]:
    """Calibration inputs for the residual network."""
    return [{"y0": smooth_picture(64, 80, seed)} for seed in range(3)]
