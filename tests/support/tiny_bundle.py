"""A bundle around a network of one convolution, made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, StageSpec, TensorSpec

CORRECTION: dict[str, object] = {
    "kind": "correction",
    "frames": ("picture",),
    "halo": None,
    "front": StageSpec("resize", {"height": 64, "width": 64}),
    "inputs": (TensorSpec("y0", size=(64, 64)),),
    "back": StageSpec("guided"),
}
"""Changes that make the bundle one that looks at a thumbnail of one frame."""

RENDERED: dict[str, object] = {
    "halo": None,
    "front": None,
    "inputs": (TensorSpec("under"), TensorSpec("over")),
    "back": StageSpec("render"),
    "longest": 64,
}
"""Changes that make the bundle one that sees small copies of two frames and is rendered."""

FUSED_SMALL: dict[str, object] = {
    "front": StageSpec("intermediate", {"levels": 255}),
    "back": StageSpec("rendered-fusion", {"longest": 64, "floor": 1e-5}),
}
"""Changes that make the bundle one that fuses small copies, which are then rendered."""


def write_network(path: Path) -> None:
    """Write an ONNX file: 3x3 mean of every channel, zero-padded; ``y0`` to ``y_hat``, any size."""
    weights = np.zeros((3, 3, 3, 3), np.float32)
    weights[range(3), range(3)] = 1 / 9
    shape = [1, 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["y0", "k"], ["y_hat"], pads=[1, 1, 1, 1])],
        "mean",
        [helper.make_tensor_value_info("y0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y_hat", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)


def write_bundle(folder: Path, **changes: object) -> Path:
    """Write a bundle with that network as its only artefact; ``changes`` go into its ModelSpec."""
    folder.mkdir()
    file = folder / "mean.fp32.onnx"
    write_network(file)
    sizes = SizeRange(largest=(64, 64), smallest=(16, 16))
    size = file.stat().st_size
    artifact = Artifact(file.name, "onnx", "fp32", digest(file), size, sizes, "verified")
    fields: dict[str, object] = {
        "name": "mean",
        "task": "t",
        "frames": ("under", "over"),
        "inputs": (TensorSpec("y0"),),
        "outputs": (TensorSpec("y_hat"),),
        "halo": 1,
        "front": StageSpec("intermediate", {"response": "srgb"}),
        "back": StageSpec("exposure-fusion"),
    }
    model = ModelSpec(**{**fields, **changes})
    recipe = ExportRecipe("mean", ("onnx",), ("fp32",), (64, 64), "none", (), {})
    write_manifest(folder, Manifest(model, recipe, (artifact,), {}, {}))
    return folder
