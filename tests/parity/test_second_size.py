"""Networks that see the whole picture run at a second size, where a baked size fails."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity import check_parity
from edgeexpo.parity.cases import DRAWN_SIZE, DRAWN_SIZES, SECOND_SIZE
from edgeexpo.spec import Gate
from tests.support.pictures import smooth_picture
from tests.support.tiny_bundle import write_bundle

FILE = "mean.fp32.onnx"
GATES = {
    "fp32": (Gate("max_abs", 1e-4, False), Gate("max_abs", 1e-4, False, "worst_probe")),
    "int8": (),
}


class Whole(torch.nn.Module):
    """A network that subtracts the picture's mean from every pixel and adds a half."""

    def forward(self, y0):
        return y0 - y0.mean((2, 3), keepdim=True) + 0.5


def write_network(path, baked):
    """Write the same network in ONNX.

    With ``baked`` it divides by the number of pixels at 64x64, whatever the size.
    """
    shape = [1, 3, "h", "w"]
    nodes = [helper.make_node("GlobalAveragePool", ["y0"], ["mean"])]
    if baked:
        nodes = [
            helper.make_node("ReduceSum", ["y0", "axes"], ["sum"], keepdims=1),
            helper.make_node("Div", ["sum", "pixels"], ["mean"]),
        ]
    nodes += [
        helper.make_node("Sub", ["y0", "mean"], ["rest"]),
        helper.make_node("Add", ["rest", "half"], ["y_hat"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        numpy_helper.from_array(np.float32(64 * 64), "pixels"),
        numpy_helper.from_array(np.float32(0.5), "half"),
    ]
    tensors = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in ("y0", "y_hat")
    )
    graph = helper.make_graph(nodes, "whole", *tensors, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)


def make_bundle(folder, baked):
    facts = {"front": None, "back": None, "frames": ("photo",), "halo": None}
    write_bundle(folder, **facts)
    write_network(folder / FILE, baked)
    side = {2: torch.export.Dim("h", min=16, max=64), 3: torch.export.Dim("w", min=16, max=64)}
    program = torch.export.export(Whole(), (torch.rand(1, 3, 48, 40),), dynamic_shapes=(side,))
    torch.export.save(program, folder / "reference.pt2")
    manifest = Bundle.open(folder).manifest
    artifact = dataclasses.replace(manifest.artifacts[0], sha256=digest(folder / FILE))
    changed = dataclasses.replace(
        manifest,
        files={"reference.pt2": digest(folder / "reference.pt2")},
        recipe=dataclasses.replace(manifest.recipe, gates=GATES),
        artifacts=(artifact,),
    )
    write_manifest(folder, changed)
    return Bundle(folder, changed)


@pytest.fixture
def pictures():
    return [Sample("sea", (smooth_picture(64, 64),), None)]


def test_a_baked_size_is_caught_and_named_by_the_second(tmp_path, pictures):
    sound = check_parity(make_bundle(tmp_path / "sound", baked=False), samples=pictures)
    assert sound, sound.artifacts[0].error
    baked = check_parity(make_bundle(tmp_path / "baked", baked=True), samples=pictures)
    assert baked.artifacts[0].status == "failed"
    assert re.search(rf"{SECOND_SIZE}|{DRAWN_SIZE}-\d+x\d+", baked.artifacts[0].error)
    wrong = {r["name"] for r in baked.artifacts[0].per_input if r["max_abs"] > 1e-4}
    drawn = {name for name in wrong if name.startswith(f"{DRAWN_SIZE}-")}
    assert len(drawn) == DRAWN_SIZES
    assert wrong == {SECOND_SIZE, *drawn}
    (case,) = (c for c in baked.cases if c.name == SECOND_SIZE)
    assert all(side % 2 and 16 <= side < 64 for side in case.reference.shape[:2])


def test_artefacts_of_fixed_sizes_and_int8_are_not_asked(tmp_path, pictures):
    bundle = make_bundle(tmp_path / "bundle", baked=True)
    (artifact,) = bundle.manifest.artifacts
    sizes = dataclasses.replace(artifact.sizes, enumerated=((64, 64),))
    for change in ({"precision": "int8"}, {"sizes": sizes}):
        artifacts = (dataclasses.replace(artifact, **change),)
        manifest = dataclasses.replace(bundle.manifest, artifacts=artifacts)
        report = check_parity(Bundle(bundle.path, manifest), samples=pictures)
        names = {row["name"] for row in report.artifacts[0].per_input}
        assert "ramps" in names
        assert SECOND_SIZE not in names
        assert not [name for name in names if name.startswith(f"{DRAWN_SIZE}-")]
