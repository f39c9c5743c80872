"""Tests of ``edgeexpo inspect``: every format is read, and garbage is refused in one line."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path

import coremltools as ct
import numpy as np
import onnx
import pytest
import torch
from coremltools.converters.mil import Builder
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

from edgeexpo.bundle.files import digest, size_in_bytes, staged
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.cli import main
from edgeexpo.inspection import contents
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, TensorSpec


class Net(torch.nn.Module):
    """Network of two convolutions that XNNPACK takes and an erf that XNNPACK does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.b = torch.nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return torch.erf(self.b(torch.relu(self.a(y0))))


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    return torch.export.export(Net().eval(), (torch.rand(1, 3, 16, 24),))


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, program: torch.export.ExportedProgram
) -> dict[str, Path]:
    """Make one small file of every format, each with the format's own library."""
    folder = tmp_path_factory.mktemp("artefacts")
    found = {suffix: folder / f"net{suffix}" for suffix in contents.readers()}
    torch.export.save(program, found[".pt2"])
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    found[".pte"].write_bytes(lowered.to_executorch().buffer)
    onnx.save(onnx_model(), found[".onnx"])

    weight = np.full((4, 3, 3, 3), 0.5, np.float32)

    @Builder.program(
        input_specs=[Builder.TensorSpec(shape=(1, 3, 16, 24))], opset_version=ct.target.iOS17
    )
    def mil(y0):  # type: ignore[no-untyped-def]
        return Builder.relu(x=Builder.conv(x=y0, weight=weight, pad_type="same"), name="y_hat")

    with warnings.catch_warnings():
        # coremltools 9.0 leaves its temporary folder to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        target = ct.target.iOS17
        model = ct.convert(mil, minimum_deployment_target=target, skip_model_load=True)
        model.save(str(found[".mlpackage"]))
        del model
        gc.collect()
    return found


def onnx_model() -> onnx.ModelProto:
    tensor = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Relu", ["y0"], ["h"]),
        onnx.helper.make_node("Relu", ["h"], ["y"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [tensor("y0", onnx.TensorProto.FLOAT, [1, 3, "height", 24])],
        [tensor("y", onnx.TensorProto.FLOAT, [1, 3, "height", 24])],
    )
    opset = onnx.helper.make_opsetid("", 20)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)


def inspect_json(path: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["inspect", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    if path.suffix in contents.readers():
        assert document["bytes"] == size_in_bytes(path)
        assert document["sha256"] == digest(path)
    return document


def test_onnx(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect_json(files[".onnx"], capsys)
    assert document["kind"] == "onnx"
    assert document["opset"] == {"ai.onnx": 20}
    assert document["operators"] == {"Relu": 2}
    assert document["engine_graph"]["engine"] == "onnxruntime"
    assert set(document["engine_graph"]["floating"]) == {"Relu"}
    shape = [1, 3, None, 24]
    assert document["inputs"] == [{"name": "y0", "shape": shape, "dtype": "float32"}]
    assert document["outputs"] == [{"name": "y", "shape": shape, "dtype": "float32"}]


def test_pte(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect_json(files[".pte"], capsys)
    assert document["delegate_calls"] == 1
    assert document["operators"] == {"aten::erf.out": 1}
    assert document["engine_graph"]["portable"] == {"aten::erf": 1}
    (delegate,) = document["delegates"]
    assert delegate["id"] == "XnnpackBackend"
    assert delegate["operators"]["Conv2d"] == 2
    inside = sum(delegate["operators"].values())
    assert document["delegated_share"] == pytest.approx(inside / (inside + 1))
    assert document["inputs"][0]["shape"] == [1, 3, 16, 24]


def test_mlpackage(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect_json(files[".mlpackage"], capsys)
    assert document["operators"]["conv"] == 1
    assert document["operators"]["relu"] == 1
    assert document["convolution_precision"] == {"float16": 1}
    assert document["engine_graph"]["floating"] == {"conv": 1, "relu": 1}
    assert document["inputs"][0]["name"] == "y0"
    assert document["inputs"][0]["shape"] == [1, 3, 16, 24]
    assert document["weights_bytes"] > 4 * 27 * 2


def test_pt2(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect_json(files[".pt2"], capsys)
    assert document["operators"]["aten.conv2d.default"] == 2
    assert document["inputs"] == [{"name": "y0", "shape": [1, 3, 16, 24], "dtype": "float32"}]


def test_text_is_for_people(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(files[".pte"])]) == 0
    out = capsys.readouterr().out
    assert "portable kernels: aten::erf.out 1" in out
    assert "xnnpack runs on integers: nothing" in out
    assert "xnnpack runs in float: Conv2d 2" in out


def test_what_the_engine_refuses_is_still_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx_model()
    model.graph.node[0].op_type = "NobodyHasThis"
    onnx.save(model, tmp_path / "net.onnx")
    document = inspect_json(tmp_path / "net.onnx", capsys)
    assert document["operators"] == {"NobodyHasThis": 1, "Relu": 1}
    assert "cannot load net.onnx" in document["engine_graph"]["error"]
    assert main(["inspect", str(tmp_path / "net.onnx")]) == 0
    assert "not known" in capsys.readouterr().out


def damaged_copies(file: Path, folder: Path) -> list[Path]:
    """Write damaged copies of a file: an empty one, one of garbage and some that are cut short."""
    data = file.read_bytes()
    copies = []
    for name, content in (
        ("empty", b""),
        ("garbage", b"garbage" * 40),
        ("cut", data[: len(data) // 3]),
    ):
        copies.append(folder / f"{name}{file.suffix}")
        copies[-1].write_bytes(content)
    return copies


@pytest.mark.parametrize("suffix", [".onnx", ".pte", ".pt2"])
def test_damaged_files_are_refused_in_one_line(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    for copy in damaged_copies(files[suffix], tmp_path):
        assert main(["inspect", str(copy)]) == 2, copy
        out, err = capsys.readouterr()
        assert out == ""
        assert "is not" in err.splitlines()[-1]


def test_a_damaged_package_is_refused(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "net.mlpackage"
    package.mkdir()
    assert main(["inspect", str(package)]) == 2
    package.rmdir()
    files[".mlpackage"].rename(package)
    try:
        model = next(package.rglob("*.mlmodel"))
        good = model.read_bytes()
        model.write_bytes(b"garbage" * 40)
        assert main(["inspect", str(package)]) == 2
        assert "is not a Core ML package" in capsys.readouterr().err
        model.write_bytes(good)
        manifest = package / "Manifest.json"
        before = manifest.stat().st_mtime_ns
        assert main(["inspect", str(package)]) == 0
        assert manifest.stat().st_mtime_ns == before
    finally:
        package.rename(files[".mlpackage"])


def test_what_nobody_reads_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.bin").write_bytes(b"")
    for path in (tmp_path / "net.bin", tmp_path / "nowhere.onnx", tmp_path):
        assert main(["inspect", str(path)]) == 2
        assert "expected" in capsys.readouterr().err


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    spec = ModelSpec("lrl", "fusion", ("under", "over"), (TensorSpec("y0"),), (TensorSpec("y"),), 8)
    recipe = ExportRecipe("lrl", ("onnx",), ("fp32",), (16, 24), "embedded photographs", (), {})
    with staged(tmp_path / "lrl") as staging:
        file = staging / "lrl.fp32.onnx"
        onnx.save(onnx_model(), file)
        artifact = Artifact(
            file.name,
            "onnx",
            "fp32",
            digest(file),
            size_in_bytes(file),
            SizeRange((64, 64), (16, 16)),
            "verified",
            "onnxruntime",
        )
        parity = {"passed": True, "reference": {"device": "cpu", "name": "a processor"}}
        manifest = Manifest(spec, recipe, (artifact,), {}, {"torch": "2.13.0"}, parity=parity)
        write_manifest(staging, manifest)
    return tmp_path / "lrl"


def test_a_bundle_is_summed_up(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect_json(bundle, capsys)
    assert document["status"] == "verified"
    assert document["intact"]
    assert document["parity"]["passed"]
    assert document["artifacts"][0]["file"] == "lrl.fp32.onnx"
    assert main(["inspect", str(bundle)]) == 0
    out = capsys.readouterr().out
    assert "16x16 to 64x64" in out
    assert "passed against a processor" in out


def test_a_changed_bundle_is_shown_and_exits_2(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "lrl.fp32.onnx").write_bytes(b"changed")
    assert main(["inspect", str(bundle), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert not document["intact"]
    assert "changed after the export" in document["damaged"]["lrl.fp32.onnx"]
