"""Tests that each artefact computes what its program computes, at sizes besides the traced one."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.spec import TensorSpec

SIZES = [(96, 96), (17, 43)]
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "int8": 5e-3}
"""Tolerances by precision: largest absolute difference, for pictures in [0,1].

For fp16 it covers how each engine rounds its sums. For INT8 it covers one step of the residual
network's correction, which the network halves.
"""


@pytest.fixture(scope="module")
def programs(program, quantized):
    return {"fp32": program, "fp16": half(program), "int8": quantized}


@pytest.fixture(scope="module")
def exported_file(programs, tmp_path_factory):
    """A function that exports a program by name and precision, once for the whole module.

    It returns the file and the sizes that the exporter gave.
    """

    @functools.cache
    def export(exporter, suffix, precision):
        path = tmp_path_factory.mktemp(precision) / f"net{suffix}"
        return path, exporter(programs[precision], path)

    return export


def picture(size):
    return torch.from_numpy(np.random.default_rng(1).random((1, 3, *size), dtype=np.float32))


def exact_session(path):
    """Return a session whose integer kernels are exact on every processor."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(path, options)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_onnx(programs, exported_file, precision):
    path, sizes = exported_file(export_onnx, ".onnx", precision)
    assert sizes == programs[precision].sizes
    session = exact_session(path)
    assert [i.name for i in session.get_inputs()] == ["y0"]
    assert session.get_inputs()[0].shape == [1, 3, "height", "width"]
    run = programs[precision].exported.module()
    for size in SIZES:
        x = picture(size)
        (found,) = session.run(["y_hat"], {"y0": x.numpy()})
        assert np.abs(found - run(x).detach().numpy()).max() <= TOLERANCE[precision]


def test_onnx_tells_nothing_of_the_machine(exported_file):
    path, _ = exported_file(export_onnx, ".onnx", "int8")
    data = path.read_bytes()
    assert b"stack_trace" not in data
    assert b"site-packages" not in data
    assert b".py" not in data


def test_onnxruntime_fuses_every_convolution(exported_file, tmp_path):
    path, optimized = exported_file(export_onnx, ".onnx", "int8")[0], tmp_path / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options)
    kinds = Counter(n.op_type for n in onnx.load(optimized).graph.node)
    assert kinds["QLinearConv"] == 3
    assert not kinds["Conv"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_executorch(programs, exported_file, precision):
    from executorch.runtime import Runtime

    path, sizes = exported_file(export_executorch, ".pte", precision)
    assert sizes == programs[precision].sizes
    method = Runtime.get().load_program(path).load_method("forward")
    run = programs[precision].exported.module()
    for size in SIZES:
        x = picture(size)
        found = method.execute([x])[0]
        assert (found - run(x).detach()).abs().max() <= TOLERANCE[precision]


LOADED = """
import sys
from pathlib import Path
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.spec import ModelSpec, TensorSpec
spec = ModelSpec("net", "t", ("x",), (TensorSpec("y0"),), (TensorSpec("y_hat"),), halo=3)
threads = int(sys.argv[2]) or None
open_engine("executorch", Path(sys.argv[1]), spec, EngineOptions(threads))
assert "executorch.exir" not in sys.modules, "the whole exporter was imported"
"""


@pytest.mark.parametrize("threads", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_executorchs_pool_of_threads_starts_in_silence(exported_file, threads):
    path, _ = exported_file(export_executorch, ".pte", "fp32")
    command = [sys.executable, "-c", LOADED, str(path), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_onnx_and_executorch_agree_in_int8(exported_file):
    """Both compute on the same integers, so results differ rarely and by one step at most."""
    from executorch.runtime import Runtime

    onnx_file, _ = exported_file(export_onnx, ".onnx", "int8")
    pte_file, _ = exported_file(export_executorch, ".pte", "int8")
    x = picture((64, 64))
    (first,) = exact_session(onnx_file).run(None, {"y0": x.numpy()})
    method = Runtime.get().load_program(pte_file).load_method("forward")
    second = method.execute([x])[0].numpy()
    assert 10 * np.log10(1 / max(np.mean((first - second) ** 2), 1e-12)) >= 60


class Scaled(torch.nn.Module):
    """A network with scalar arithmetic and a transposed convolution whose output is cropped."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.up = torch.nn.ConvTranspose2d(8, 3, 3, 2, 1, output_padding=1)

    def forward(self, y0):
        return torch.sigmoid(self.up(1.5 * torch.relu(self.down(y0 * 2.0 - 1.0))))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_numbers_and_crops_reach_core_ml(precision, tensors, tmp_path):
    """Without help, coremltools 9.0 reads numbers as float32 and then refuses the fp16 weights."""
    program = capture(Scaled().eval(), *tensors, (64, 64), multiple=2)
    program = half(program) if precision == "fp16" else program
    export_coreml(program, tmp_path / "net.mlpackage")
    engine = MilEngine()
    engine.load(tmp_path / "net.mlpackage")
    x = picture((64, 64))
    (found,) = engine.run({"y0": x.numpy()}).values()
    expected = program.exported.module()(x).detach().numpy()
    assert np.abs(found - expected).max() <= TOLERANCE[precision]


def test_core_ml_takes_two_pictures_and_a_thumbnail(tmp_path):
    class Three(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.pictures = torch.nn.Conv2d(6, 3, 3, padding=1)
            self.thumbnail = torch.nn.Conv2d(3, 3, 8)

        def forward(self, under, over, thumbnail):
            return self.pictures(torch.cat([under, over], 1)) + self.thumbnail(thumbnail)

    specs = (TensorSpec("under"), TensorSpec("over"), TensorSpec("thumbnail", size=(8, 8)))
    program = capture(Three().eval(), specs, (TensorSpec("fused"),), (128, 96))
    sizes = export_coreml(program, tmp_path / "net.mlpackage")
    assert sizes.enumerated == ((64, 64), (128, 96))
    engine = MilEngine()
    engine.load(tmp_path / "net.mlpackage")
    for size in sizes.enumerated:
        inputs = [picture(size), picture(size).flip(3), picture((8, 8))]
        named = {s.name: x.numpy() for s, x in zip(specs, inputs, strict=True)}
        expected = program.exported.module()(*inputs).detach().numpy()
        np.testing.assert_allclose(engine.run(named)["fused"], expected, atol=1e-5)
