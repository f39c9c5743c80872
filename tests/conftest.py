"""Small networks that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeexpo.spec import TensorSpec

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the other cores run other tests


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


NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 3, 3, padding=1),
        )

    def forward(self, photo):
        return torch.clamp(photo + 0.3 * self.body(photo), 0, 1)


def net():
    return Net()


def two():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Net()

        def forward(self, dark, bright):
            return self.body(0.5 * dark + 0.5 * bright)

    return Two()


def pair():
    class Pair(torch.nn.Module):
        def forward(self, x):
            return x, x

    return Pair()


def number():
    return 3
"""


@pytest.fixture(scope="session")
def network_file(tmp_path_factory):
    """A user's file with factories."""
    path = tmp_path_factory.mktemp("user") / "net.py"
    path.write_text(NETWORK)
    return path


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """Two small photographs."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(2):
        codes = (smooth_picture(80, 96, seed) * 255).round().astype(np.uint8)
        Image.fromarray(codes).save(folder / f"photo{seed}.png")
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory, residual, tensors, picture_folder):
    """A bundle of the residual network: every target, fp32 and INT8, verified."""
    from edgeexpo import pipeline
    from edgeexpo.spec import ModelSpec

    spec = ModelSpec(
        name="net",
        task="test",
        frames=("photo",),
        inputs=tensors[0],
        outputs=tensors[1],
        halo=3,
        residual="y0",
    )
    patch = pytest.MonkeyPatch()
    network = pipeline.Network(residual, spec, (96, 96), None)
    patch.setattr(pipeline, "open_network", lambda *_: network)
    folder = tmp_path_factory.mktemp("dist") / "net"
    with patch.context():
        pipeline.export_bundle(
            "net",
            targets=("all",),
            precision=("fp32", "int8"),
            calibration=picture_folder,
            images=picture_folder,
            output=folder,
        )
    patch.undo()
    return folder


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three radiance maps in ``hdri`` and six photographs in ``photos``."""
    import cv2

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
