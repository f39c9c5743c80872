"""Tests that LiteRT artefacts compute what their program computes.

They also check that a file says nothing about the machine that made it.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from edgeexpo.errors import ExportError, MissingDependencyError
from edgeexpo.export import litert_program
from edgeexpo.export.litert_export import export_litert
from edgeexpo.export.litert_program import litert_form
from edgeexpo.export.lowering import check_converters, lower
from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.inspection.census import litert_census
from edgeexpo.inspection.tflite import read_tflite
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.base import open_engine
from edgeexpo.spec import ModelSpec
from tests.support.pictures import smooth_picture

TRANSPOSED = torch.ops.aten.conv_transpose2d.input
TOLERANCE = {"fp32": 1e-5, "int8": 5e-3}


class Doubling(torch.nn.Module):
    """A network with two readers of one tensor: transposed convolutions with kernels 4 and 3."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.four = torch.nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.three = torch.nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1)
        self.last = torch.nn.Conv2d(12, 3, 3, padding=1)

    def forward(self, y0):
        low = torch.relu(self.down(y0))
        return self.last(torch.cat([torch.relu(self.four(low)), self.three(low)], 1))


@pytest.fixture(scope="module")
def programs(program, quantized):
    return {"fp32": program, "int8": quantized}


@pytest.fixture(scope="module")
def doubling(tensors):
    program = capture(Doubling().eval(), *tensors, (64, 64), multiple=2)
    pictures = [{"y0": smooth_picture(64, 64, seed)} for seed in range(3)]
    return {"fp32": program, "int8": quantize_program(program, pictures)}


def picture(size):
    low = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(low, size, mode="bicubic").clamp(0, 1)


def given(program, x):
    with torch.no_grad():
        return program.exported.module()(x).numpy()


def run(target, path, tensors, x):
    inputs, outputs = tensors
    engine = open_engine(target, path, ModelSpec("net", "t", ("x",), inputs, outputs, halo=None))
    found = engine.run({"y0": x.numpy()})["y_hat"]
    engine.close()
    return found


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_the_converter_gets_means_the_same(doubling, precision):
    x = picture((64, 64))
    program, fixed = doubling[precision], litert_form(doubling[precision])
    assert fixed.sizes.smallest == fixed.sizes.largest == (64, 64)
    difference = np.abs(given(fixed, x) - given(program, x))
    # In INT8, values halfway between two codes may round either way.
    assert np.mean(difference > 2e-6) <= (0 if precision == "fp32" else 1e-3)
    assert difference.max() <= TOLERANCE[precision]


def test_no_transposed_convolution_is_left(doubling):
    assert TRANSPOSED in {n.target for n in doubling["int8"].exported.graph.nodes}
    for program in doubling.values():
        assert TRANSPOSED not in {n.target for n in litert_form(program).exported.graph.nodes}


def test_codes_become_weights_that_the_graph_quantises(doubling):
    nodes = litert_form(doubling["int8"]).exported.graph.nodes
    dequantizers = [n for n in nodes if "dequantize" in str(n.target)]
    assert dequantizers
    for node in dequantizers:
        assert len(node.users) == 1
        assert ".quantize_per" in str(node.args[0].target)


@pytest.mark.parametrize(
    "change",
    [{"stride": 1}, {"padding": 0}, {"output_padding": 0, "kernel_size": 3}, {"groups": 2}],
    ids=str,
)
def test_other_transposed_convolutions_stay(tensors, change):
    given_ = {"kernel_size": 4, "stride": 2, "padding": 1, **change}
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ConvTranspose2d(8, 4, **given_)
    )
    fixed = litert_form(capture(net.eval(), *tensors, (32, 32)))
    assert TRANSPOSED in {n.target for n in fixed.exported.graph.nodes}


def test_fp16_is_refused(programs, tmp_path):
    with pytest.raises(ExportError, match="`precision='fp32'` or int8"):
        export_litert(half(programs["fp32"]), tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())


def test_a_missing_converter_names_its_extra(programs, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "litert" in name else found(name)
    )
    with pytest.raises(MissingDependencyError, match=r"litert_torch.* 'edgeexpo\[litert\]'"):
        lower(programs["fp32"], "litert", "net", tmp_path)
    check_converters(["onnx", "coreml", "executorch"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_takes_the_sizes_of_its_program(programs, precision, tensors, tmp_path):
    path = tmp_path / "net.tflite"
    program = programs[precision]
    assert export_litert(program, path) == program.sizes
    graph = read_tflite(path)
    assert [(t.name, t.shape, t.dtype) for t in graph.inputs] == [("y0", (1, 3, 96, 96), "float32")]
    assert [t.name for t in graph.outputs] == ["y_hat"]
    for size in ((96, 96), (17, 43), (16, 16), (96, 20)):
        x = picture(size)
        found = run("litert", path, tensors, x)
        assert np.abs(found - given(program, x)).max() <= TOLERANCE[precision]


@pytest.mark.slow
def test_int8_is_what_onnx_runtime_gives(programs, tensors, tmp_path):
    export_litert(programs["int8"], tmp_path / "net.tflite")
    export_onnx(programs["int8"], tmp_path / "net.onnx")
    x = picture((96, 96))
    first, second = (
        run(target, tmp_path / f"net.{suffix}", tensors, x)
        for target, suffix in (("litert", "tflite"), ("onnx", "onnx"))
    )
    assert 10 * np.log10(1 / max(np.mean((first - second) ** 2), 1e-12)) >= 80


@pytest.mark.slow
def test_two_exports_are_one_and_tell_nothing_of_the_machine(programs, tmp_path):
    for name in ("first", "second"):
        export_litert(programs["int8"], tmp_path / name)
    data = (tmp_path / "first").read_bytes()
    assert data == (tmp_path / "second").read_bytes()
    for trace in (b".py", b"site-packages", b"torch", b"Residual", b"/home", b"/tmp", b"/work"):
        assert trace not in data, trace


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_has_a_size_in_the_graph_takes_that_size_alone(
    doubling, precision, tensors, tmp_path, capsys
):
    path = tmp_path / "net.tflite"
    sizes = export_litert(doubling[precision], path)
    assert sizes.smallest == sizes.largest == (64, 64)
    assert sizes.enumerated == ((64, 64),)
    assert "the LiteRT artefact takes 64x64 alone" in capsys.readouterr().err
    x = picture((64, 64))
    error = np.abs(run("litert", path, tensors, x) - given(doubling[precision], x)).max()
    assert error <= (1e-5 if precision == "fp32" else 2e-2)


@pytest.mark.slow
def test_transposed_convolutions_run_on_integers(doubling, tmp_path):
    export_litert(doubling["int8"], tmp_path / "net.tflite")
    census = litert_census(tmp_path / "net.tflite")
    assert census.float_weighted == 0
    assert census.integer_weighted == 2 + 2 * 4


class Shared(torch.nn.Module):
    """A network in which two shifts and a convolution read one tensor.

    The shifts need the channels first, the convolution needs them last.
    """

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 1)

    def forward(self, y0):
        x = on_grid(self.first(on_grid(y0)))
        left, right = (on_grid(torch.nn.functional.pad(x, p)) for p in ((1, 0, 0, 0), (0, 1, 0, 0)))
        return (self.second(left) + self.second(right))[..., 1:] + self.second(x)


def on_grid(x):
    codes = torch.ops.quantized_decomposed.quantize_per_tensor(x, 1 / 64, 0, -128, 127, torch.int8)
    return torch.ops.quantized_decomposed.dequantize_per_tensor(
        codes, 1 / 64, 0, -128, 127, torch.int8
    )


@pytest.mark.slow
def test_an_input_is_still_rounded_for_all_its_readers(programs, tensors, tmp_path, monkeypatch):
    """Show why ``litert_form`` guards inputs. When this test fails, the guard can go."""
    x = picture((96, 96))
    path = tmp_path / "net.tflite"
    monkeypatch.setattr(litert_program, "_guard_inputs", lambda module: None)
    export_litert(programs["int8"], path)
    error = np.abs(run("litert", path, tensors, x) - given(programs["int8"], x))
    assert np.mean(error > 1e-4) > 0.5


@pytest.mark.slow
def test_a_shared_dequantiser_is_still_forgotten():
    """Show why every reader gets its own dequantiser. When this test fails, the copies can go."""
    from litert_torch import fx_infra
    from litert_torch._convert.fx_passes import OptimizeLayoutTransposesPass

    x = picture((16, 24))
    net = Shared().eval()
    exported = torch.export.export(net, (x,))
    exported = fx_infra.safe_run_decompositions(
        exported, fx_infra.decomp.pre_convert_decomp(), can_skip=False
    )
    with pytest.raises(AssertionError, match="non-NHWC compatible node"):
        fx_infra.run_passes(exported, [OptimizeLayoutTransposesPass()])
