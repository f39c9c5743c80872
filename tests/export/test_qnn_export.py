"""Hexagon artefacts run on the emulated HTP, wholly, and near their program."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.chips import chip_named
from edgeexpo.cli import main
from edgeexpo.errors import EngineError, ExportError
from edgeexpo.export.lowering import lower
from edgeexpo.inspection.contents import read_contents
from edgeexpo.program.capture import capture
from edgeexpo.program.tensors import picture_tensor
from edgeexpo.quantization.a16w8 import a16w8_program, float_activations
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines import qnn
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.runtime.network_pictures import planar
from edgeexpo.spec import ModelSpec
from tests.support.htp import need_htp
from tests.support.pictures import smooth_picture

SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def htp():
    need_htp()


@pytest.fixture(scope="module")
def shown():
    return [{"y0": smooth_picture(SIDE, SIDE, seed)} for seed in range(3)]


@pytest.fixture(scope="module")
def integer(residual, tensors, shown):
    return quantize_program(capture(residual, *tensors, (SIDE, SIDE)), shown)


@pytest.fixture(scope="module")
def lowered(integer, shown, tmp_path_factory):
    """The folder and the artefacts in both precisions."""
    folder = tmp_path_factory.mktemp("qnn")
    programs = (integer, a16w8_program(integer, shown))
    pictures = [planar(picture) for picture in shown]
    made = [lower(p, "qnn", "net", folder, "sm8650", pictures) for p in programs]
    return folder, {artifact.precision: artifact for artifact in made}


def run(path, tensors, picture):
    engine = open_engine("qnn", path, ModelSpec("net", "t", ("x",), *tensors, halo=None))
    found = engine.run(planar({"y0": picture}))["y_hat"]
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(planar({"y0": picture}))
    return found


def psnr(one, other):
    return -10 * np.log10(np.mean((one - other) ** 2))


@pytest.mark.parametrize(("precision", "least"), [("int8", 45), ("a16w8", 65)])
def test_the_htp_gives_what_the_program_gives(lowered, integer, tensors, precision, least):
    folder, artifacts = lowered
    program = integer if precision == "int8" else float_activations(integer)
    picture = smooth_picture(SIDE, SIDE, 7)
    with torch.no_grad():
        expected = program.exported.module()(picture_tensor(picture)).numpy()
    assert psnr(run(folder / artifacts[precision].file, tensors, picture), expected) > least


def test_artefacts_name_their_chip_and_take_one_size(lowered):
    for precision, artifact in lowered[1].items():
        assert artifact.file == f"net.{precision}.qnn.onnx"
        assert artifact.sizes.smallest == artifact.sizes.largest == (SIDE, SIDE)
        assert artifact.soc == "sm8650"
        assert artifact.npu_operators["Conv"] >= 2
    model = (lowered[0] / "net.int8.qnn.onnx").read_bytes()
    assert qnn.chip_of(model) == chip_named("sm8650")


def test_the_context_binary_gives_the_same_picture(lowered, tensors):
    folder, artifacts = lowered
    picture = smooth_picture(SIDE, SIDE, 7)
    compiled = folder / artifacts["int8"].compiled
    (node,) = onnx.load(compiled).graph.node
    assert node.op_type == "EPContext"
    session = qnn._session(compiled.read_bytes(), qnn.htp_options(chip_named("sm8650"), {}))
    (found,) = session.run(["y_hat"], planar({"y0": picture}))
    expected = run(folder / artifacts["int8"].file, tensors, picture)
    np.testing.assert_array_equal(found, expected)


def test_inspect_tells_what_the_htp_takes(lowered):
    found = read_contents(lowered[0] / "net.int8.qnn.onnx")
    assert found["kind"] == "qnn"
    assert found["chip"] == "sm8650 (Snapdragon 8 Gen 3, HTP v75)"
    assert found["assignment"]["htp"]["Conv"] >= 2
    assert found["assignment"]["elsewhere"] == {}


class Sorting(torch.nn.Module):
    """A network with an operator that no HTP kernel takes."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, y0):
        return y0 + torch.cumsum(torch.erf(self.conv(y0)), 1)


def test_an_operator_without_a_kernel_is_named_with_its_line(tensors, shown, tmp_path):
    program = quantize_program(capture(Sorting().eval(), *tensors, (SIDE, SIDE)), shown)
    with pytest.raises(ExportError, match=r"has no kernel for .*aten.erf.default at test_qnn_exp"):
        lower(program, "qnn", "net", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_engine_never_computes_on_the_cpu(tmp_path, tensors):
    """A file with an operator that the HTP lacks is refused when it is loaded."""
    value = onnx.helper.make_tensor_value_info
    shape = [1, 3, 8, 8]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Erf", ["y0"], ["y_hat"])],
        "net",
        [value("y0", onnx.TensorProto.FLOAT, shape)],
        [value("y_hat", onnx.TensorProto.FLOAT, shape)],
    )
    opset = [onnx.helper.make_opsetid("", 21)]
    path = tmp_path / "net.qnn.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    with pytest.raises(EngineError, match=r"HTP emulator cannot load net.qnn.onnx"):
        run(path, tensors, smooth_picture(8, 8, 0))


def test_a_damaged_file_and_threads_are_refused_in_one_line(tmp_path, tensors):
    path = tmp_path / "net.qnn.onnx"
    path.write_bytes(b"\x08\x07 no model")
    spec = ModelSpec("net", "t", ("x",), *tensors, halo=None)
    with pytest.raises(EngineError, match="cannot load") as error:
        open_engine("qnn", path, spec)
    assert "\n" not in str(error.value)
    with pytest.raises(EngineError, match="leave threads out"):
        open_engine("qnn", path, spec, EngineOptions(threads=4))


@pytest.mark.slow
def test_the_verbs_export_judge_inspect_and_do_not_time_it(
    network_file, picture_folder, tmp_path, capsys, small_probes
):
    bundle = tmp_path / "net"
    options = ["--input=1x3x64x64", "--target=qnn", "--precision=int8,a16w8", "--soc=sm8750"]
    folders = [f"--calib={picture_folder}", f"--images={picture_folder}"]
    assert main(["export", f"{network_file}:net", *options, *folders, "-o", str(bundle)]) == 0
    manifest = Bundle.open(bundle).manifest
    assert {(a.precision, a.status, a.verified_by, a.soc) for a in manifest.artifacts} == {
        (precision, "verified", "htp-emulator", "sm8750") for precision in ("int8", "a16w8")
    }
    assert {a.compiled for a in manifest.artifacts} <= manifest.files.keys()
    found = {a["precision"]: a["worst"] for a in manifest.parity["artifacts"]}
    assert found["a16w8"]["psnr_quantized"] >= 60
    capsys.readouterr()
    assert main(["inspect", str(bundle)]) == 0
    assert "net.int8.qnn.onnx for sm8750: the HTP takes" in capsys.readouterr().out
    assert main(["bench", str(bundle), "--runs=1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    notes = {row["note"] for row in rows if row["engine"] == "htp-emulator"}
    assert notes == {"not measurable: HTP emulator only emulates a Hexagon NPU"}
