"""Fixtures that many tests share, around small networks."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from edgeexpo.export.searches import searches_kept
from edgeexpo.spec import TensorSpec
from tests.support.networks import NETWORK, Residual
from tests.support.pictures import smooth_picture
from tests.support.small_probes import small_probes_drawn

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # other tests run on the other cores


_searches = searches_kept()
_searches.__enter__()  # for the whole run

gc.set_threshold(10_000, 20, 50)  # torch's traces make many objects that live for a while

_MANY = 100
"""Number of modules after whose import their objects are left out of garbage collections."""

_modules_left_out = 0


def pytest_runtest_setup() -> None:
    """Leave the objects of imported libraries out of garbage collections, once for each library.

    A collection that looks through all of them takes half a second.
    """
    global _modules_left_out
    if len(sys.modules) >= _modules_left_out + _MANY:
        _modules_left_out = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def residual() -> Residual:
    """Return the residual network with fixed weights."""
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture(scope="session")
def tensors() -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the input and output specs of the residual network."""
    return (TensorSpec("y0"),), (TensorSpec("y_hat"),)


@pytest.fixture(scope="session")
def pictures() -> list[dict[str, np.ndarray]]:
    """Return calibration inputs for the residual network."""
    return [{"y0": smooth_picture(64, 80, seed)} for seed in range(3)]


@pytest.fixture(scope="session")
def program(residual, tensors):
    """The residual network captured at up to 96x96 pixels."""
    from edgeexpo.program.capture import capture

    return capture(residual, *tensors, (96, 96))


@pytest.fixture(scope="session")
def quantized(program, pictures):
    """That program quantised to INT8 on the shared pictures."""
    from edgeexpo.quantization.ptq import quantize_program

    return quantize_program(program, pictures)


@pytest.fixture(scope="session")
def network_file(tmp_path_factory):
    """Write a user's file with factories."""
    path = tmp_path_factory.mktemp("user") / "net.py"
    path.write_text(NETWORK)
    return path


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """Write a folder with two small photographs."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(2):
        codes = (smooth_picture(80, 96, seed) * 255).round().astype(np.uint8)
        Image.fromarray(codes).save(folder / f"photo{seed}.png")
    return folder


@pytest.fixture(scope="module")
def small_probes():
    """Draw the lab's probes at half their side, for tests that are not about their size."""
    with small_probes_drawn():
        yield


@pytest.fixture(scope="session")
def exported(shared_folder, residual, tensors, picture_folder):
    """A bundle of the residual network: every target, fp32 and INT8, verified.

    The workers of one run share the bundle; a test that changes a bundle copies it first.
    """
    folder = shared_folder / "exported" / "net"
    with FileLock(shared_folder / "exported.lock"):
        if not folder.is_dir():
            _export(folder, residual, tensors, picture_folder)
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that all workers of one run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def _export(folder, residual, tensors, picture_folder):
    """Export the residual network through the pipeline that a named network takes."""
    from edgeexpo.spec import ModelSpec
    from edgeexpo.workflows import export, export_request
    from edgeexpo.workflows.networks import Network

    spec = ModelSpec(
        name="net",
        task="test",
        frames=("photo",),
        inputs=tensors[0],
        outputs=tensors[1],
        halo=3,
        residual="y0",
    )
    network = Network(residual, spec, (96, 96), None)
    with small_probes_drawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_request, "open_network", lambda *_, **__: network)
        export.export_bundle(
            "net",
            targets=("all",),
            precision=("fp32", "int8"),
            calibration=picture_folder,
            images=picture_folder,
            output=folder,
        )


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three radiance maps in ``hdri`` and six photographs in ``photos``."""
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
