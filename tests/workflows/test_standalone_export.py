"""Artefacts that hold their stages: exported, proven against the runtime, and run on frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch

import edgeexpo
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.check import check_parity
from edgeexpo.parity.probes import scene
from edgeexpo.runtime.session import load

SIZE = (96, 128)


class Brighter(torch.nn.Module):
    """Two convolutions that change the tone of a small picture."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.last = torch.nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        change = self.last(torch.relu(self.first(picture))).mean((2, 3), keepdim=True)
        return (picture * (1.2 + 0.2 * change)).clamp(0, 1)


def _export(folder: Path, **arguments: object) -> Bundle:
    settings: dict[str, object] = {
        "inputs": {"picture": (1, 3, 64, 64)},
        "targets": "onnx",
        "precision": "fp32",
        "apply_at_full_size": True,
        "full_size_form": "render",
        "standalone": SIZE,
        "output": folder / "bundle",
    }
    torch.manual_seed(0)
    return edgeexpo.export_bundle(Brighter(), **{**settings, **arguments})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _export(tmp_path_factory.mktemp("standalone"))


def _frame() -> np.ndarray:
    (picture,) = scene("scene", 1, SIZE).frames
    return np.asarray(np.rint(picture * 255), np.uint8)


def test_the_artefact_is_verified_picture_in_picture_out(bundle: Bundle) -> None:
    (artifact,) = bundle.manifest.artifacts
    assert artifact.status == "verified"
    assert bundle.manifest.model.takes_frames
    assert bundle.manifest.network is not None
    gates = {gate.metric for gate in bundle.manifest.recipe.gates["fp32"]}
    assert {"codes_off", "max_abs"} <= gates


def test_the_file_takes_and_gives_bytes(bundle: Bundle) -> None:
    graph = onnx.load(bundle.file(bundle.manifest.artifacts[0].file)).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert [d.dim_value for d in value.type.tensor_type.shape.dim] == [*SIZE, 3]


def test_a_session_gives_the_picture_of_the_network_and_its_stages(
    bundle: Bundle, tmp_path: Path
) -> None:
    frame = _frame()
    with load(bundle.path) as session:
        picture = session(frame)
        again = np.empty_like(frame)
        session.run_into(again, frame)
        real = session(np.float32(frame) / np.float32(255))
    plain = _export(tmp_path, standalone=None)
    with load(plain.path) as session:
        expected = session(frame)
    off = np.abs(picture.astype(int) - expected)
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3
    assert np.array_equal(picture, again)
    assert np.abs(real * 255 - picture).max() < 1e-3


def test_frames_of_another_size_are_refused(bundle: Bundle) -> None:
    with (
        load(bundle.path) as session,
        pytest.raises(PictureError, match=r"96x130 \(HxW\).*takes 96x128"),
    ):
        session(np.zeros((96, 130, 3), np.uint8))


def test_a_wrong_constant_of_a_stage_is_caught(bundle: Bundle, tmp_path: Path) -> None:
    """The bundle's own check notices an enlargement that is half a pixel off."""
    (artifact,) = bundle.manifest.artifacts
    model = onnx.load(bundle.file(artifact.file))
    changed = 0
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim > 1 and values.shape[-2] == SIZE[0] > values.shape[-1]:
            moved = np.roll(values, 1, axis=-2)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(moved), tensor.name))
            changed += 1
    assert changed
    for name in bundle.manifest.files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bundle.file(name).read_bytes())
    onnx.save(model, tmp_path / artifact.file)
    faulty = dataclasses.replace(artifact, sha256=digest(tmp_path / artifact.file))
    write_manifest(tmp_path, dataclasses.replace(bundle.manifest, artifacts=(faulty,)))
    sample = Sample("scene", scene("scene", 1, SIZE).frames, None)
    report = check_parity(Bundle.open(tmp_path), samples=[sample])
    assert not report.passed


def test_stages_without_a_graph_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no form as one graph yet"):
        _export(tmp_path, full_size_form="guided")
    assert not (tmp_path / "bundle").exists()


def test_debug_asks_for_the_network_alone(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="export the network without `standalone`"):
        edgeexpo.debug(bundle)
